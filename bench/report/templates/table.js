// Tables for use: rows filtered, columns chosen, what is shown copied as text, and all of it kept in the address.
// Reads the table each time and stores nothing of it, for other scripts sort it and rewrite cells. Columns are hidden by
// a style sheet and rows by an attribute, so that places of cells stay as they are.
const tools = [...document.querySelectorAll("table[data-tools]")].map((table) => {
  const body = table.tBodies[0];
  const scroll = table.closest(".scroll");
  const name = scroll.getAttribute("aria-label");
  const FACETS = { family: (row) => row.dataset.family, view: (row) => row.dataset.view, verdict };
  const nothing = () => ({ text: "", family: new Set(), view: new Set(), verdict: new Set(), hide: new Set(), show: new Set() });
  let state = nothing();

  const judged = table.tHead.querySelector('[data-of="verdict"]')?.cellIndex;
  function verdict(row) {
    return row.cells[judged]?.querySelector(".tag")?.textContent.trim();
  }
  const words = (node) => {
    const apart = "small, .kind, .tag";  // which are set off by the style sheet
    const unsaid = "select, svg, [hidden], [aria-hidden=true]";
    const inside = (part) => {
      if (part.nodeType !== Node.ELEMENT_NODE) return part.nodeValue;
      return part.matches(unsaid) ? "" : `${part.matches(apart) ? " " : ""}${[...part.childNodes].map(inside).join("")}`;
    };
    return [...node.childNodes].map(inside).join("").replace(/\s+/g, " ").trim();
  };

  // a column's name is that of its head as written: a head that is rewritten keeps its name in the address
  const names = [...table.tHead.rows[0].cells].map((head) => headed(head).text);
  // up to here a row says what it is
  const pinned = Math.max(0, [...table.tHead.rows[0].cells].findIndex((head) => head.matches(".label")));
  function headed(head) {
    const unit = [...head.querySelectorAll("small")].map(words).join(" ");
    const copy = head.cloneNode(true);
    copy.querySelectorAll("small").forEach((small) => small.remove());
    return { text: words(copy), unit, numeric: head.classList.contains("num") };
  }
  // what all rows have in a column, references aside, which have little; null where it differs
  const constant = (index) => {
    let [common, raw] = [null, null];
    for (const row of body.rows) {
      if (row.cells[index].textContent === raw) continue;  // most cells are told apart or not without more
      raw = row.cells[index].textContent;
      const text = words(row.cells[index]);
      if (row.classList.contains("reference") && (text === "\u2013" || text === "")) continue;
      if (common !== null && text !== common) return null;
      common = text;
    }
    return common;
  };
  const columns = () => [...table.tHead.rows[0].cells].map((head, index) => {
    const column = { index, name: names[index], ...headed(head), drawing: head.classList.contains("drawing") };
    const fixed = index <= pinned || column.drawing || head.matches("[data-of], .tier") || body.querySelectorAll("tr:not(.reference)").length < 2;
    column.same = fixed ? null : constant(index);
    column.pinned = index <= pinned;
    column.hidden = !column.pinned && (state.hide.has(column.name) || (column.same !== null && !state.show.has(column.name)));
    return column;
  });
  // what a facet asks for and a row has: what no row has any more asks for nothing
  const asked = (facet) => {
    if (!state[facet].size) return new Set();
    const there = new Set([...body.rows].map(FACETS[facet]));
    return new Set([...state[facet]].filter((value) => there.has(value)));
  };
  const said = () => [
    ...Object.keys(FACETS).map((facet) => [facet, [...asked(facet)].map(called).join(" or ")]),
    ["text", state.text],
  ].filter(([, value]) => value).map((pair) => pair.join(": ")).join("; ");
  const called = (value) => value || "none";
  const several = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const counted = () => {
    const all = body.rows.length;
    const seen = [...body.rows].filter((row) => !row.hidden).length;
    return seen === all ? several(all, "row") : `${seen} of ${all} rows${said() ? ` (${said()})` : ""}`;
  };

  // the controls
  const make = (tag, text = "", facts = {}) => Object.assign(document.createElement(tag), { textContent: text }, facts);
  const bar = make("div", "", { className: "toolbar", role: "group", ariaLabel: `Tools of the table: ${name}` });
  const same = make("p", "", { className: "note same" });
  const status = make("span", "", { className: "count", role: "status" });
  const menu = (title, fill) => {
    const details = make("details", "", { className: "menu" });
    const summary = make("summary", title);
    const list = make("div", "", { className: "choices", role: "group", ariaLabel: title });
    details.append(summary, list);
    details.addEventListener("toggle", () => {
      if (!details.open) return;
      bar.querySelectorAll("details[open]").forEach((other) => { if (other !== details) other.open = false; });
      list.replaceChildren(...fill());
    });
    details.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      details.open = false;
      summary.focus();
    });
    bar.append(details);
    return summary;
  };
  const choice = (text, checked, change) => {
    const label = make("label");
    const box = make("input", "", { type: "checkbox", checked });
    box.addEventListener("change", () => { change(box.checked); render(); });
    label.append(box, text);
    return label;
  };
  const flip = (set, value, on) => (on ? set.add(value) : set.delete(value));

  const search = make("input", "", { type: "search", placeholder: "Filter rows", ariaLabel: `Filter the rows of: ${name}` });
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { state.text = search.value.trim(); render(); }, 100);
  });
  if (body.rows.length > 5) bar.append(search);
  const summaries = {};
  for (const [facet, read] of Object.entries(FACETS)) {
    const values = () => [...new Set([...body.rows].map(read))].filter((value) => value !== undefined);
    if (values().length < 2) continue;
    const ordered = () => (facet === "verdict" ? values() : values().sort((one, two) => one.localeCompare(two)));
    const title = facet[0].toUpperCase() + facet.slice(1);
    summaries[facet] = [title, menu(title, () => ordered().map((value) =>
      choice(called(value), state[facet].has(value), (on) => flip(state[facet], value, on))))];
  }
  const chosen = menu("Columns", () => columns().filter((column) => !column.pinned).map((column) => {
    const text = `${column.drawing ? "drawing of the intervals" : column.text}${column.same === null ? "" : `, the same in all: ${column.same}`}`;
    return choice(text, !column.hidden, (on) => {
      flip(state.hide, column.name, !on && column.same === null);
      flip(state.show, column.name, on && column.same !== null);
    });
  }));
  const copies = make("span", "", { className: "copies", role: "group", ariaLabel: "Copy what is shown" });
  copies.append(make("span", "Copy as"));
  for (const [format, write] of Object.entries(formats)) {
    const button = make("button", format, { type: "button" });
    button.addEventListener("click", async () => {
      const shown = shownTable();
      const [count, text] = [shown.rows.length, write(shown)];
      const done = await copied(text);
      status.textContent = done ? `${format} of ${several(count, "row")} and ${several(shown.heads.length, "column")} copied` : "Take it from the field";
    });
    copies.append(button);
  }
  const reset = make("button", "Reset", { type: "button", className: "reset" });
  reset.addEventListener("click", () => {
    state = nothing();
    search.value = "";
    bar.querySelectorAll("details[open]").forEach((details) => { details.open = false; });
    render();
    search.focus();
  });
  bar.append(copies, reset, status);
  scroll.before(bar, same);
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);

  // a drawing says what the numbers beside it say, and is no text
  const shownTable = () => {
    const seen = columns().filter((column) => !column.hidden && !column.drawing);
    const rows = [...body.rows].filter((row) => !row.hidden);
    return {
      heads: seen, rows: rows.map((row) => seen.map((column) => words(row.cells[column.index]))),
      about: `${name}: ${counted()}`.replace(/\s+/g, " "),
    };
  };
  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {  // a page that may not write to the clipboard shows what it would have written
      bar.querySelector("textarea")?.remove();
      const field = make("textarea", "", { value: text, ariaLabel: "To be copied", rows: 6 });
      bar.append(field);
      field.select();
      return document.execCommand("copy") && (field.remove(), true);
    }
  };

  function render() {
    const all = columns();
    const hidden = all.filter((column) => column.hidden);
    sheet.replaceSync(hidden.map(({ index }) => `#${CSS.escape(table.id)} tr > :nth-child(${index + 1}) { display: none; }`).join("\n"));
    const facets = Object.keys(summaries).map((facet) => [FACETS[facet], asked(facet)]).filter(([, wanted]) => wanted.size);
    const parts = state.text.toLowerCase().split(/\s+/);
    for (const row of body.rows) {
      const text = state.text ? words(row).toLowerCase() : "";
      row.hidden = !facets.every(([read, wanted]) => wanted.has(read(row))) || !parts.every((part) => text.includes(part));
    }
    const alike = hidden.filter((column) => column.same !== null);
    same.hidden = !alike.length;
    same.textContent = `The same in every row${body.querySelector(".reference") ? " but those of references" : ""}, so not shown as columns: `
      + `${alike.map(({ text, unit, same: value }) => `${text}${unit ? ` (${unit})` : ""} ${value}`).join("; ")}.`;
    for (const [facet, [title, summary]] of Object.entries(summaries)) {
      summary.textContent = asked(facet).size ? `${title}: ${asked(facet).size}` : title;
    }
    chosen.textContent = state.hide.size ? `Columns: ${state.hide.size} hidden` : "Columns";
    reset.hidden = !(state.text || ["family", "view", "verdict", "hide", "show"].some((key) => state[key].size));
    status.textContent = counted();
    status.classList.toggle("partial", [...body.rows].some((row) => row.hidden));
    keep();
  }

  // the address: parts "table.key=value" of the fragment, beside those of others
  const sorted = () => {
    const head = table.tHead.querySelector("[aria-sort]");
    return head === null ? "" : `${head.getAttribute("aria-sort") === "descending" ? "-" : ""}${names[head.cellIndex]}`;
  };
  const first = sorted();
  const baseline = document.querySelector(`.baseline[data-table="${table.id}"] select`);
  const pairs = () => {
    const found = [];
    if (sorted() !== first) found.push(["sort", sorted()]);
    if (baseline?.value) found.push(["baseline", baseline.selectedOptions[0].text]);
    if (state.text) found.push(["text", state.text]);
    for (const key of ["family", "view", "verdict", "hide", "show"]) found.push(...[...state[key]].map((value) => [key, value]));
    return found.map(([key, value]) => new URLSearchParams({ [`${table.id}.${key}`]: value }).toString());
  };
  const restore = (parts) => {
    const own = parts.flatMap((part) => [...new URLSearchParams(part)]).filter(([key]) => key.startsWith(`${table.id}.`));
    if (!own.length) return false;
    state = nothing();
    let order = first;
    let base = "";
    for (const [key, value] of own.map(([whole, value]) => [whole.slice(table.id.length + 1), value])) {
      if (key === "sort") order = value;
      else if (key === "baseline") base = value;
      else if (key === "text") state.text = value;
      else if (state[key] instanceof Set) state[key].add(value);
    }
    search.value = state.text;
    if (baseline) {
      const option = [...baseline.options].find((one) => one.text === base) ?? baseline.options[0];
      if (baseline.value !== option.value) {
        baseline.value = option.value;
        baseline.dispatchEvent(new Event("change"));
      }
    }
    const head = table.tHead.rows[0].cells[names.indexOf(order.replace(/^-/, ""))];
    for (let tries = 0; head && sorted() !== order && tries < 2; tries += 1) head.querySelector("button")?.click();
    const folded = table.closest("details");
    if (folded) folded.open = true;
    render();
    return true;
  };
  const watch = () => {
    new MutationObserver(keep).observe(table.tHead, { subtree: true, attributeFilter: ["aria-sort"] });
    // another script has rewritten cells; a row that only moved has been sorted
    new MutationObserver((changes) => changes.some(({ target }) => target !== body) && render())
      .observe(body, { subtree: true, childList: true, characterData: true });
    baseline?.addEventListener("change", keep);
  };
  return { table, bar, pairs, restore, render, watch };
});

let kept = false;  // nothing is written before all has been read
function keep() {
  if (!kept) return;
  const foreign = parts().filter((part) => !tools.some(({ table }) => part.startsWith(`${table.id}.`)));
  const all = [...foreign, ...tools.flatMap((tool) => tool.pairs())].join("&");
  if (all === location.hash.slice(1)) return;
  try {
    history.replaceState(null, "", all ? `#${all}` : location.pathname + location.search);
  } catch {
    kept = false;  // a page inside another one has no address to write to
  }
}
function parts() {
  return location.hash.slice(1).split("&").filter(Boolean);
}
const written = parts();
const restored = tools.filter((tool) => tool.restore(written) || tool.render());
tools.forEach((tool) => tool.watch());
kept = true;
if (restored.length && performance.getEntriesByType("navigation")[0]?.type === "navigate") {
  const anchor = written.find((part) => !part.includes("="));
  (document.getElementById(anchor) ?? restored[0].bar).scrollIntoView();
}
addEventListener("hashchange", () => {
  const now = parts();
  tools.forEach((tool) => tool.restore(now));
  const anchor = now.find((part) => !part.includes("="));
  if (now.length > 1 && anchor) document.getElementById(anchor)?.scrollIntoView();
  keep();  // a link within the page does not forget the tables
});
document.addEventListener("click", ({ target }) => {
  for (const open of document.querySelectorAll(".menu[open]")) if (!open.contains(target)) open.open = false;
});

// paper shows what is folded, and folds it again after
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not(.menu, .drawers, .drawer, .drawer details):not([open])")];
  unfolded.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => unfolded.forEach((details) => { details.open = false; }));
