// A table as text to paste elsewhere: heads ({text, unit, numeric} each), rows (a text for each head), and a line about it.
const formats = (() => {
  // what a spreadsheet would carry out gets an apostrophe (OWASP, "CSV injection"; bench/store/export.py does the same
  // and undoes it); a number, alone or with its interval, stays one
  const FORMULA = /^['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^'*[\t\r\n]/;
  const NUMBER = /^[+-]?(\d[\d,]*\.?\d*|\.\d+)(e[+-]?\d+)?\s?%?( \[[-+\d.,e\s]*\])?$/i;
  const told = (text) => (FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text);
  const csv = ({ heads, rows }) => {
    const quoted = (text) => (/[",;\r\n\t]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const field = (text) => quoted(told(text));
    return [heads.map(titled), ...rows].map((row) => `${row.map(field).join(",")}\n`).join("");
  };

  const markdown = ({ heads, rows }) => {
    // what means something inside a line; of the rest nothing stands at a line's beginning
    const field = (text) => text.replace(/\s+/g, " ").replace(/[\\`*_|<>~[\]&$#]/g, "\\$&") || " ";
    const line = (row) => `| ${row.join(" | ")} |\n`;
    const rule = heads.map((head) => (head.numeric ? "---:" : "---"));
    return [heads.map(titled).map(field), rule, ...rows.map((row) => row.map(field))].map(line).join("");
  };

  function titled({ text, unit }) {
    return unit ? `${text} (${unit})` : text;
  }

  // what pdflatex takes without a package but booktabs, in the encoding it has by default
  const SIGNS = new Map(Object.entries({
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "%": "\\%", "_": "\\_",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "`": "\\textasciigrave{}", "<": "$<$", ">": "$>$", "|": "$|$",
    "\"": "{''}", "[": "{[}", "]": "{]}", "*": "{*}",  // in front, [ and * would be read as arguments of \\
    "\u2212": "$-$", "\u2013": "--", "\u2014": "---", "\u2010": "-", "\u2011": "-", "\u2026": "\\ldots{}",
    "\u2018": "`", "\u2019": "'", "\u201c": "``", "\u201d": "''", "\u00b1": "$\\pm$", "\u00d7": "$\\times$",
    "\u00f7": "$\\div$", "\u00b7": "$\\cdot$", "\u2264": "$\\leq$", "\u2265": "$\\geq$", "\u2260": "$\\neq$",
    "\u2248": "$\\approx$", "\u221e": "$\\infty$", "\u2016": "$\\|$", "\u2192": "$\\rightarrow$",
    "\u2190": "$\\leftarrow$", "\u2191": "$\\uparrow$", "\u2193": "$\\downarrow$", "\u221a": "$\\surd$",
    "\u2713": "$\\surd$", "\u2211": "$\\sum$", "\u220f": "$\\prod$", "\u222b": "$\\int$", "\u2202": "$\\partial$",
    "\u2208": "$\\in$", "\u00bc": "$\\frac14$", "\u00bd": "$\\frac12$", "\u00be": "$\\frac34$", "\u00b5": "$\\mu$",
    "\u00b0": "$^\\circ$", "\u207b": "$^-$", "\u00b9": "$^1$", "\u00b2": "$^2$", "\u00b3": "$^3$", "\u00df": "\\ss{}",
    "\u00e6": "\\ae{}", "\u00c6": "\\AE{}", "\u0153": "\\oe{}", "\u0152": "\\OE{}", "\u00f8": "\\o{}", "\u00d8": "\\O{}",
    "\u0142": "\\l{}", "\u0141": "\\L{}", "\u0131": "\\i{}", "\u03d5": "$\\phi$", "\u03f5": "$\\epsilon$",
  }));
  const LETTERS = "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi o pi rho varsigma sigma "
    + "tau upsilon varphi chi psi omega";
  LETTERS.split(" ").forEach((name, place) => {
    SIGNS.set(String.fromCodePoint(0x3b1 + place), name === "o" ? "$o$" : `$\\${name}$`);
  });
  for (const name of ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"]) {
    const small = LETTERS.replaceAll("var", "").split(" ").lastIndexOf(name.toLowerCase());
    SIGNS.set(String.fromCodePoint(0x391 + small), `$\\${name}$`);
  }
  for (const digit of "0456789") SIGNS.set(String.fromCodePoint(0x2070 + Number(digit)), `$^${digit}$`);
  for (const digit of "0123456789") SIGNS.set(String.fromCodePoint(0x2080 + Number(digit)), `$_${digit}$`);
  //: combining marks: the accent of a letter, and that of a formula
  const ACCENTS = new Map([
    ["\u0300", ["`", "grave"]], ["\u0301", ["'", "acute"]], ["\u0302", ["^", "hat"]], ["\u0303", ["~", "tilde"]],
    ["\u0304", ["=", "bar"]], ["\u0306", ["u", "breve"]], ["\u0307", [".", "dot"]], ["\u0308", ["\"", "ddot"]],
    ["\u030a", ["r", "mathring"]], ["\u030b", ["H"]], ["\u030c", ["v", "check"]], ["\u0323", ["d"]], ["\u0327", ["c"]],
  ]);

  const code = (sign) => `\\texttt{U+${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}}`;
  const sign = (letter) => SIGNS.get(letter) ?? (/^[\x20-\x7e]$/.test(letter) ? letter : code(letter));
  const accented = (base, mark) => {
    const [letter, formula] = ACCENTS.get(mark) ?? [];
    if (base.startsWith("$")) return formula ? `$\\${formula}{${base.slice(1, -1)}}$` : base + code(mark);
    return letter ? `\\${letter}{${base}}` : base + code(mark);
  };
  const escaped = (text) =>
    text.normalize("NFC").replace(/-(?=-)/g, "-\u2060").match(/\P{M}\p{M}*|\p{M}+/gu)?.map((cluster) => {
      if (cluster === "\u2060") return "{}";  // two hyphens are no dash
      const whole = SIGNS.get(cluster);
      if (whole !== undefined) return whole;
      const [first, ...marks] = cluster.normalize("NFD");
      return marks.reduce(accented, sign(first));
    }).join("") ?? "";

  const latex = ({ heads, rows, about }) => {
    const line = (row) => `${row.map(escaped).join(" & ")} \\\\\n`;
    const units = heads.map((head) => head.unit);
    const body = rows.map(line).join("");
    return `% ${about.replace(/\s+/g, " ")}\n% \\usepackage{booktabs}\n\\begin{tabular}{${heads.map((head) => (head.numeric ? "r" : "l")).join("")}}\n`
      + `\\toprule\n${line(heads.map((head) => head.text))}${units.some(Boolean) ? line(units) : ""}\\midrule\n`
      + `${body}\\bottomrule\n\\end{tabular}\n`;
  };

  return { CSV: csv, Markdown: markdown, LaTeX: latex };
})();
