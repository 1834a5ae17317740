// Another row than the best as the one that others are held against: rewrites "worse by", p and the verdict from the
// differences of all pairs that stand beside the table. "The best" brings back what the page was written with.
for (const chooser of document.querySelectorAll(".baseline")) {
  const select = chooser.querySelector("select");
  const { names, digits, pairs } = JSON.parse(chooser.nextElementSibling.textContent);
  const table = chooser.parentNode.querySelector(`#${chooser.dataset.table}`);
  const rows = [...table.tBodies[0].rows];
  const heads = ["behind", "p", "verdict"].map((of) => table.tHead.querySelector(`[data-of="${of}"]`));
  const head = heads[0].querySelector("button");
  const written = rows.map((row) => parts(row).map((cell) => [cell.innerHTML, cell.dataset.key]));
  const classes = rows.map((row) => row.className);
  const title = head.innerHTML;

  function parts(row) {
    return heads.map((one) => row.cells[one.cellIndex]);
  }
  const number = (value, places) => {
    const text = Math.abs(value).toFixed(places).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
    return value < 0 && Number(text) !== 0 ? `\u2212${text}` : text;
  };
  // how far `place` is behind `base`: the pairs are those of earlier and later rows, the later behind the earlier
  const pair = (base, place) => {
    const [one, other] = base < place ? [base, place] : [place, base];
    const [lead, low, high, p, apart] = pairs[one * names.length - (one * (one + 3)) / 2 + other - 1];
    if (lead === null) return null;
    return base < place ? { lead, low, high, p, apart } : { lead: -lead, low: -high, high: -low, p, apart };
  };
  const tag = (text) => {
    const span = document.createElement("span");
    span.className = "tag";
    span.textContent = text;
    return span;
  };
  const small = (text) => {
    const element = document.createElement("small");
    element.textContent = text;
    return element;
  };
  const restore = () => {
    rows.forEach((row, index) => {
      row.className = classes[index];
      parts(row).forEach((cell, which) => {
        [cell.innerHTML, cell.dataset.key] = written[index][which];
      });
    });
    head.innerHTML = title;
  };
  const compare = (base) => {
    head.firstChild.textContent = `Worse than ${names[base]} by`;
    let [better, worse, alike, none] = [0, 0, 0, 0];
    for (const row of rows) {
      const place = row.dataset.place === undefined ? NaN : Number(row.dataset.place);
      const [behind, chance, verdict] = parts(row);
      const found = place === base || !(place < names.length) ? null : pair(base, place);
      if (place === base || found === null) {
        behind.replaceChildren("\u2013");
        chance.replaceChildren("\u2013");
        behind.dataset.key = place === base ? "0" : "";
        chance.dataset.key = "";
        row.className = place === base ? "best" : row.dataset.place === undefined ? "reference" : "worse";
        verdict.replaceChildren(tag(place === base ? "baseline" : "not compared"));
        none += place !== base && row.dataset.place !== undefined;
        continue;
      }
      behind.replaceChildren(number(found.lead, digits), " ");
      behind.append(small(`[${number(found.low, digits)},\u00a0${number(found.high, digits)}]`));
      behind.dataset.key = String(found.lead);
      chance.replaceChildren(found.p < 0.001 ? "< 0.001" : number(found.p, 3));
      chance.dataset.key = String(found.p);
      const word = !found.apart ? "inseparable" : found.lead > 0 ? "worse" : "better";
      verdict.replaceChildren(tag(word));
      row.className = { inseparable: "tied", worse: "worse", better: "better" }[word];
      better += word === "better";
      worse += word === "worse";
      alike += word === "inseparable";
    }
    const said = [[better, "better"], [alike, "cannot be told apart from it"], [worse, "worse"], [none, "not compared"]];
    return said.filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(", ");
  };
  select.addEventListener("change", () => {
    restore();
    chooser.querySelector("output").textContent = select.value === "" ? "" : compare(Number(select.value));
  });
  chooser.hidden = false;
}
