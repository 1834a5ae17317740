"use strict";
for (const button of document.querySelectorAll("table.sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.key ?? "";
    const order = (a, b) => {
      const [one, two] = [key(a), key(b)];
      if (one === "" || two === "") return (one === "") - (two === "");  // what is missing stays last
      const numbers = [Number(one), Number(two)];
      const sign = numbers.some(Number.isNaN) ? one.localeCompare(two) : numbers[0] - numbers[1];
      return down ? -sign : sign;
    };
    body.append(...[...body.rows].sort(order));
  });
}
