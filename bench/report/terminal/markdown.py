"""A run in Markdown, as a pull request or an issue shows it: the verdict, the first rows, the references, what not to
conclude, a sentence to quote, and where it is from."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bench.report.numbers import NOTHING, bracket, kind_of_values, measured, number
from bench.report.provenance import git, invocations
from bench.report.text.claims.carry import sentences as carry_over
from bench.report.text.decision import decision
from bench.report.text.findings import first_of, left_out, without_data
from bench.report.text.references import mark, tag
from bench.report.text.run import headline_facts, notices
from bench.report.text.training import fewer_seeds
from bench.report.text.verdict import sentences
from bench.statistics.boards import Board, boards
from bench.statistics.claims.carry import carried
from bench.statistics.contests import said, specs
from bench.statistics.references import in_short
from bench.statistics.rows import Row
from bench.statistics.scored import unusable
from bench.store import RunTables
from vae_core.statistics.intervals import Verdict

FIRST = 10  # rows of the ranking


def markdown(tables: RunTables) -> str:
    """The summary of a run."""
    ranked = boards(tables)
    data = " and ".join(dict.fromkeys(said(spec.dataset, spec.made) for spec in specs(tables.cells))) or "no data"
    parts = [
        f"## Which decoder likelihood fits {_plain(data)}?",
        " · ".join(_plain(fact) for fact in headline_facts(tables, ranked)),
    ]
    if warnings := notices(tables, unusable(tables)):
        parts.append("\n".join(f"> {_plain(text)}" for text in warnings))
    for board in ranked:
        parts += _board(board)
    if not ranked:
        parts.append(f"Nothing can be ranked: none of the {len(tables.cells)} cells gave a log-likelihood.")
    for found in carried(ranked):
        parts += ["### Does the ranking carry over?", *map(_words, carry_over(found))]
    return "\n\n".join([*parts, _provenance(tables)]) + "\n"


def _board(board: Board) -> list[str]:
    spoken = sentences(board)
    parts = [
        f"### {_plain(kind_of_values(board))} of {_plain(board.data)}",
        f"**Verdict.** {_words(spoken.headline)}." + (f" {_words(spoken.best)}." if spoken.best else ""),
    ]
    if spoken.gap:
        parts.append(_words(spoken.gap))
    if board.ranked:
        parts.append(_ranking(board))
        if more := len(board.ranked) - FIRST:
            parts += [f"Shown are the first {FIRST} of {len(board.ranked)} ranked."] * (more > 0)
    if board.references:
        parts.append(_references(board))
    doubts = [f"- {_words(text)}" for text in _not_to_conclude(board)]
    parts += ["**What not to conclude**", "\n".join(doubts), f"**To quote.** {_words(spoken.quote)}"]
    return parts


def _ranking(board: Board) -> str:
    lines = [
        [
            str(row.rank),
            _plain(row.label) + (" (recipe)" if row.recipe else ""),
            f"{measured(row.value.mean, board.unit)} {bracket(row.value, board.unit)}".strip(),
            NOTHING if row.rank == 1 else _worse(row, board),
            "; ".join(filter(None, [str(row.verdict or ""), fewer_seeds(row, board), mark(board, row)])),
        ]
        for row in board.ranked[:FIRST]
    ]
    better = f"{board.better} is better"
    return _table(["#", "Likelihood", f"{board.unit} [95 %], {better}", "Worse by [95 %]", "Verdict"], lines, "rlrrl")


def _references(board: Board) -> str:
    lines = [
        [_plain(row.label), measured(row.value.mean, board.unit), _worse(row, board), tag(row)]
        for row in in_short(board.references)
    ]
    return _table(["Reference, trained by nobody", board.unit, "Worse by [95 %]", "Standing"], lines, "lrrl")


def _worse(row: Row, board: Board) -> str:
    """By how much a row is worse than the first; a dash where that is not known."""
    if number(row.behind.mean) == NOTHING:
        return NOTHING
    return f"{measured(row.behind.mean, board.unit)} {bracket(row.behind, board.unit)}".strip()


def _not_to_conclude(board: Board) -> Iterator[Markup]:
    """What the ranking does not say, beside what stands with the verdict."""
    level = [row for row in board.ranked if row.verdict == Verdict.INDISTINGUISHABLE]
    if level:
        names = first_of([Markup("<b>{}</b>").format(row.label) for row in level])
        text = Markup("That <b>{}</b> is better than {}: they cannot be told apart.")
        yield without_data(board, text.format(board.ranked[0].label, names))
    if card := decision(board, None):
        yield from card.cautions
        return
    for finding in left_out(board):
        yield without_data(board, Markup(" ").join(finding.texts))


def _provenance(tables: RunTables) -> str:
    """Run, commits, commands, days."""
    facts = []
    for entry in invocations(tables):
        commit = str(git(entry).get("commit") or "unknown commit")[:12]
        dirty = " with uncommitted changes" if git(entry).get("dirty") else ""
        command = f", {_code(str(entry['command']))}" if entry.get("command") else ""
        facts.append(f"{str(entry.get('time') or '')[:10]} {_plain(commit)}{dirty}{command}".strip())
    return f"<sub>Provenance: {'; '.join(dict.fromkeys(facts)) or 'nothing was recorded'}</sub>"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]], sides: str) -> str:
    """A table; `sides` has r for a column of numbers and l for one of words."""
    rule = ["---:" if side == "r" else "---" for side in sides]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, rule, *lines])


def _words(text: Markup | str) -> str:
    """A sentence of the page: what is bold there is bold here, code is code, and names are only names."""
    parts = re.split(r"<(/?)(b|code)>", str(text))
    written = _plain(html.unescape(re.sub(r"<[^>]*>", "", parts[0])))
    for place in range(1, len(parts), 3):
        inside = html.unescape(re.sub(r"<[^>]*>", "", parts[place + 2]))
        opened = parts[place] == ""
        if parts[place + 1] == "code":
            written += _code(inside) if opened else _plain(inside)
        else:
            written += "**" + _plain(inside)
    return written


def _plain(text: str) -> str:
    """Text in which nothing is Markdown, a table's border, a tag or a mention; in one line."""
    text = re.sub(r"[\t\n\v\f\r\x85\u2028\u2029]+", " ", text)
    text = re.sub(r"[\\`*<>|~&#@$]|(?<=\])[(\[:]", lambda match: f"&#{ord(match[0])};", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", "&#95;", text)  # inside a word it is no emphasis


def _code(text: str) -> str:
    """Code, a table's border in it excepted."""
    text = " ".join(text.split())
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{ticks} {text} {ticks}" if "`" in text else f"{ticks}{text}{ticks}"
