"use strict";
{
  const collator = new Intl.Collator();  // localeCompare makes one for every pair
  const UNITS = { "%": 0.01, M: 1e6, G: 1e9 };
  const written = (cell) => {  // what a cell is sorted by: its key; without one it is the text
    if (cell.dataset.key !== undefined) return cell.dataset.key;
    const text = (cell.firstChild?.textContent.trim() || cell.textContent).trim();
    const number = /^([−-]?[\d,]+(?:\.\d+)?)(?:[ \u00a0]([%MG]))?$/.exec(text);
    if (number) return String(Number(number[1].replace("−", "-").replaceAll(",", "")) * (UNITS[number[2]] ?? 1));
    return text === "–" ? "" : text;
  };
  const first = new Map();  // where a row stood: so stand those that are alike
  for (const row of document.querySelectorAll("table.sortable > tbody > tr")) first.set(row, first.size);
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const column = Number(head.dataset.by ?? head.cellIndex);
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = head.closest("table").tBodies[0];
      const rows = Array.from(body.rows, (row) => {  // each key is read once, not once a comparison
        const key = written(row.cells[column]);
        return { row, key, number: Number(key) };
      });
      rows.sort((one, two) => {
        const missing = (one.key === "") - (two.key === "");  // which stays last
        const words = Number.isNaN(one.number) || Number.isNaN(two.number);
        const sign = words ? collator.compare(one.key, two.key) : one.number - two.number;
        return missing || (down ? -sign : sign) || first.get(one.row) - first.get(two.row);
      });
      body.replaceChildren(...rows.map((item) => item.row));
    });
  }

  // Of very long tables a part is laid out, more of it when its end is scrolled to: to lay out tens of thousands of
  // cells takes the better part of a second at every sort. Print and search have the whole, and so has no script at all.
  const PART = 200;
  const parts = [];
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    if (table.tBodies.length !== 1 || body.rows.length <= PART) continue;
    let room = PART;
    const end = new IntersectionObserver((seen) => {
      if (seen.some((entry) => entry.isIntersecting)) lay(room + PART);
    });
    const lay = (rows) => {
      room = rows;
      let count = 0;
      let last = null;
      for (const row of body.rows) {
        if (!row.hidden) count += 1;
        row.classList.toggle("later", count > room);
        if (!row.hidden && count <= room) last = row;
      }
      end.disconnect();
      if (count > room && last) end.observe(last);
    };
    lay(PART);
    parts.push(lay);
    const moved = new MutationObserver(() => lay(room));  // sorted, or filtered by whatever hides rows
    moved.observe(body, { childList: true, subtree: true, attributeFilter: ["hidden"] });
  }
  document.documentElement.classList.add("laid");
  window.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "f") for (const lay of parts) lay(Infinity);
  });
}
