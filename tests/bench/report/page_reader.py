"""Reads a generated page as a browser would: a strict little parser, tables as rows of text, references, ids."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "hr", "input", "wbr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text inside, spaces as a browser shows them; of style and script none."""
        if self.tag in ("style", "script"):
            return ""
        joined = "".join(child if isinstance(child, str) else child.text for child in self.children)
        return re.sub(r"\s+", " ", joined).strip() if self.tag in ("td", "th", "p", "h1", "h2", "h3", "dd") else joined

    def all(self, tag: str = "", **wanted: str) -> list[Element]:
        """Every element below with this tag, and with these words in its attributes (class_ for class)."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if (not tag or child.tag == tag) and all(
                    word in child.attributes.get(name.rstrip("_"), "").split() for name, word in wanted.items()
                ):
                    found.append(child)
                found += child.all(tag, **wanted)
        return found

    def one(self, tag: str = "", **wanted: str) -> Element:
        found = self.all(tag, **wanted)
        assert len(found) == 1, f"{len(found)} elements {tag} {wanted}"
        return found[0]

    def rows(self) -> list[list[str]]:
        """The body of a table as text."""
        return [
            [cell.text for cell in row.children if isinstance(cell, Element)] for row in self.one("tbody").all("tr")
        ]


CELLS = ("td", "th")


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in CELLS and self.open[-1].tag in CELLS:  # which the next one ends
            self.open.pop()
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr" and self.open[-1].tag in CELLS:
            self.open.pop()
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(path: Path) -> Element:
    """The page as a tree; fails where tags do not match."""
    parser = _Parser()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == [parser.root], f"never closed: {[element.tag for element in parser.open[1:]]}"
    return parser.root


def references(page: Element) -> list[str]:
    """Everything that a browser would fetch or jump to."""
    found = []
    for element in page.all():
        found += [element.attributes[name] for name in ("src", "href", "srcset", "data", "poster", "action")
                  if name in element.attributes]  # fmt: skip
        styles = [element.attributes.get("style", "")]
        if element.tag == "style":
            styles += [child for child in element.children if isinstance(child, str)]
        for style in [*styles, *element.attributes.values()]:
            found += re.findall(r"url\(\s*['\"]?([^'\")]*)", style) + re.findall(r"@import\s+(\S+)", style)
    return found
