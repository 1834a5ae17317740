"use strict";
// Saves a figure as a file that stands alone: colours as they are shown, the page's font, and the line below the figure
// that says where it comes from.
{
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const SHARP = 2;  // pixels of a PNG for each of the figure's
  const alone = (figure) => {
    const shown = figure.querySelector("svg.figure");
    const page = getComputedStyle(document.documentElement);
    const value = (name) => page.getPropertyValue(name).trim();
    const svg = shown.cloneNode(true);
    const width = shown.viewBox.baseVal.width;
    const height = Number(shown.dataset.height);
    for (const name of ["class", "style", "data-height", "aria-label", "role"]) svg.removeAttribute(name);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.setAttribute("font-family", getComputedStyle(shown).fontFamily);
    for (const part of svg.querySelectorAll("[style]")) {
      part.setAttribute("style", part.getAttribute("style").replace(/var\((--[\w-]+)\)/g, (_, name) => value(name)));
    }
    svg.querySelector(".origin").removeAttribute("display");
    svg.querySelector(".origin").removeAttribute("class");
    const ground = document.createElementNS(NAMESPACE, "rect");
    for (const [name, size] of [["width", width], ["height", height]]) ground.setAttribute(name, size);
    ground.setAttribute("fill", value("--paper"));
    const title = document.createElementNS(NAMESPACE, "title");
    title.textContent = figure.querySelector(".title").textContent;
    svg.prepend(title, ground);
    return { text: `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(svg)}`, width, height };
  };
  const save = (name, address) => {
    const link = document.createElement("a");
    link.download = name;
    link.href = address;
    link.click();
  };
  for (const buttons of document.querySelectorAll("figure .save")) {
    const figure = buttons.closest("figure");
    const name = buttons.dataset.file;
    buttons.hidden = false;
    buttons.addEventListener("click", async (event) => {
      const kind = event.target.closest("button")?.value;
      if (!kind) return;
      const { text, width, height } = alone(figure);
      const address = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
      if (kind === "svg") return save(`${name}.svg`, address);
      const image = new Image(width, height);
      image.src = address;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = SHARP * width;
      canvas.height = SHARP * height;
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      save(`${name}.png`, canvas.toDataURL("image/png"));
    });
  }
}
