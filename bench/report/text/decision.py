"""The decision card: what to use on this data, how surely, at what cost, what to write, and what not to conclude.

Everything is computed from the board; a loss is the one that the run's cards hold, as `vae-bench explain` prints it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.grid.families import registry
from bench.report.numbers import amount, listed, measured, number, several, tested_on, withheld
from bench.report.text.findings import first_of, without_data
from bench.report.text.scope import untried_families
from bench.report.text.training import failed_seeds, fewer_seeds
from bench.statistics.boards import Board
from bench.statistics.rows import Row
from vae_core.statistics.blocks import FEWEST_IMAGES
from vae_core.statistics.intervals import Verdict

#: test images below which an interval of scores is wide for reasons of the images alone
FEW_IMAGES = 1000


@dataclass(frozen=True)
class Decision:
    """What the card says of a board."""

    use: Markup
    facts: tuple[tuple[str, tuple[Markup, ...]], ...]  # a word and sentences each
    loss: str  # '' where the run does not hold it
    loss_of: str  # whose
    cautions: tuple[Markup, ...]  # what not to conclude


def decision(board: Board, cards: Mapping[str, Any] | None) -> Decision | None:
    """The card of a board; None where nothing is ranked."""
    if not board.ranked:
        return None
    top = board.ranked[0]
    held = not board.unbeaten and board.beats_uniform(top)
    facts = {
        "Score": (_score(board, top),),
        "How surely": tuple(_surely(board)) if held else (),
        "Cost": tuple(_cost(board, top)),
        "As good, cheaper": tuple(_cheaper(board, top)) if held else (),
        "Best within one output a value": tuple(_frugal(board, top)),
    }
    loss = _loss(top, cards) if held else ""
    if held and not loss and top.family in registry().names():
        facts["What to write"] = (_asked(top),)
    return Decision(
        use=without_data(board, _use(board, top, held)),
        facts=tuple(
            (word, tuple(without_data(board, text) for text in texts)) for word, texts in facts.items() if texts
        ),
        loss=loss,
        loss_of=top.label,
        cautions=tuple(without_data(board, text) for text in _cautions(board, top)),
    )


def _use(board: Board, top: Row, held: bool) -> Markup:
    if not board.judged:
        return Markup("<b>{}</b> has the best mean, which is no verdict").format(top.label)
    if not held:
        names = [Markup("<b>{}</b>").format(row.label) for row in board.unbeaten] or [Markup("<b>a uniform guess</b>")]
        return Markup("none of these models as they stand: {} {} not beaten").format(
            first_of(names), "is" if len(names) == 1 else "are"
        )
    if board.better_unranked:
        of = ", of what can be ranked"
    elif _unpaired(board):
        of = ", of what it can be held against"
    else:
        of = ""
    return Markup("<b>{}</b>{}").format(top.label, of)


def _unpaired(board: Board) -> list[Row]:
    """What shares no seed with the best."""
    return [row for row in board.ranked if row.verdict == Verdict.UNPAIRED]


def _score(board: Board, top: Row) -> Markup:
    where = tested_on(board)
    without = f" ({said})" if (said := withheld(top.value, board.unit)) and board.judged else ""
    return Markup("{}{}, over {} and {}").format(
        amount(top.value, board.unit), without, where, several(top.seeds, "seed")
    )


def _surely(board: Board) -> Iterator[Markup]:
    """Whom it is ahead of, and whom it cannot be told apart from."""
    others = board.ranked[1:]
    tied = [row for row in others if row.verdict == Verdict.INDISTINGUISHABLE]
    worse = [row for row in others if row.verdict == Verdict.WORSE]
    if tied:
        names = [Markup("<b>{}</b>").format(row.label) for row in tied]
        yield Markup("cannot be told apart from {}").format(first_of(names))
    if worse:
        first, *behind = worse
        p = "< 0.001" if first.p < 0.001 else f"= {number(first.p, 3)}"
        more = f", and of {several(len(behind), 'other')} behind that" if behind else ""
        yield Markup("ahead of <b>{}</b> by {}, p {}{}").format(first.label, amount(first.behind, board.unit), p, more)
    if unpaired := _unpaired(board):
        names = [Markup("<b>{}</b>").format(row.label) for row in unpaired]
        yield Markup("shares no seed with {}: which is better cannot be judged").format(first_of(names))
    if beaten := [row for row in board.references if math.isfinite(row.behind.mean)]:  # `held`: there is no other
        closest = min(beaten, key=lambda row: row.behind.mean)
        yield Markup("ahead of every reference, of <b>{}</b>, the closest, by {}").format(
            closest.label, amount(closest.behind, board.unit)
        )


def _cost(board: Board, row: Row) -> Iterator[Markup]:
    """Learned numbers, time of a training to its end, decodes, outputs; what is not known is left out."""
    results, said = row.results, []
    if math.isfinite(results.parameters):
        said.append(f"{number(results.parameters, 0)} learned numbers")
    if outputs := outputs_a_value(row, board):
        said.append(f"{outputs} outputs a value" if outputs != "1" else "1 output a value")
    epochs, speed = results.epochs_run, results.train_images_per_s
    if board.scope.train and math.isfinite(epochs) and speed > 0:
        seconds = epochs * board.scope.train / speed
        ended = "to its end " if row.ending.ended and not row.ending.improving else ""
        said.append(f"{_duration(seconds)} to train one model {ended}({number(epochs, 0)} epochs)")
    if results.eval_decodes_per_s > 0:
        said.append(f"{number(results.eval_decodes_per_s, 0)} decodes/s to score")
    if said:
        timed = speed > 0 or results.eval_decodes_per_s > 0
        yield Markup("{}").format("; ".join(said) + (", on the machine of this run" if timed else ""))


def _cheaper(board: Board, top: Row) -> Iterator[Markup]:
    """Of what cannot be told apart from the best, that with the fewest outputs, if it has fewer than the best."""
    tied = [row for row in board.ranked if row.verdict == Verdict.INDISTINGUISHABLE]
    fewer = [row for row in tied if row.results.outputs < top.results.outputs]
    if fewer:
        row = min(fewer, key=lambda row: (row.results.outputs, row.rank))
        each = outputs_a_value(row, board)
        yield Markup("<b>{}</b>, with {}, as far as can be told").format(
            row.label, f"{each} outputs a value" if each != "1" else "1 output a value"
        )


def outputs_a_value(row: Row, board: Board) -> str:
    """Raw outputs for each value of an image: '2', '1.02'; '' where it is not known."""
    each = row.results.outputs / board.dims
    if not math.isfinite(each):
        return ""
    return number(each, 0) if each == round(each) else number(each, 2)


def _frugal(board: Board, top: Row) -> Iterator[Markup]:
    """The best that gives one output a value (and one an image, at most)."""
    if not math.isfinite(top.results.outputs):
        return
    frugal = [row for row in board.ranked if row.results.outputs <= board.dims + 1]
    if not frugal:
        yield Markup("nothing here")
        return
    row = frugal[0]
    if row is top:
        yield Markup("that is it")
        return
    behind = f"behind by {amount(row.behind, board.unit)}"
    if row.verdict == Verdict.UNPAIRED:
        behind = "which shares no seed with the best"
    elif row.verdict == Verdict.INDISTINGUISHABLE:
        behind += ", which is not beyond noise"
    yield Markup("<b>{}</b>, {}, {}").format(row.label, amount(row.value, board.unit), behind)


def _loss(row: Row, cards: Mapping[str, Any] | None) -> str:
    """The code that trains what the row is of: its family, σ and objective; '' where the run does not hold it, or where
    other options than σ were given, which the code would leave out, or other channels than the family's, with which it
    may be told a shape."""
    if "channels" in row.own_options and row.own_options["channels"] != _by_default(row.family).get("channels"):
        return ""
    losses = (cards or {}).get(row.family, {}).get("loss", {})
    if not isinstance(losses, Mapping):
        return ""
    mode = "a number" if math.isfinite(row.fixed_sigma) else row.sigma
    text = str(losses.get(mode, {}).get(row.objective, ""))
    if mode == "a number":
        text = text.replace("sigma=0.1", f"sigma={row.sigma}")
    options = "".join(f", {key}={value!r}" for key, value in row.own_options.items() if key != "score")
    if not options:
        return text
    text = re.sub(r"  # \d+ outputs$", "", text, flags=re.MULTILINE)  # with other options it may be another number
    return text.replace("levels=K", f"levels=K{options}", 1) if "levels=K" in text else ""


def _by_default(family: str) -> dict[str, Any]:
    """The options of a family that nothing is told of; none are known of somebody's own, which is not at hand."""
    return dict(registry().get(family).option_defaults()) if family in registry().known() else {}


def _asked(row: Row) -> Markup:
    """The command that prints the code, where the run does not hold it or it takes more than the family and σ."""
    told = {"sigma": row.sigma, "channels": row.own_options.get("channels", "")}
    asked = "".join(f" --{name} {value}" for name, value in told.items() if value)
    others = "; the options of this row are to be added" if row.own_options.keys() - told.keys() else ""
    return Markup("<code>vae-bench explain {}{} --code loss</code> prints a loss to copy{}").format(
        row.family, asked, others
    )


def _cautions(board: Board, top: Row) -> Iterator[Markup]:
    """What the numbers do not say."""
    if not board.judged:
        yield Markup("That it is better than the others: {} are too few for a verdict, which needs {}.").format(
            tested_on(board), FEWEST_IMAGES
        )
    elif board.draws < FEW_IMAGES and math.isfinite(reach := 0.5 * abs(top.value.high - top.value.low)):
        yield Markup("Anything from a last digit: {} leave a score open by {} {} either way.").format(
            tested_on(board), measured(reach, board.unit), board.unit
        )
    if board.unended:
        names = [Markup("<b>{}</b>").format(row.label) for row in board.unended]
        yield Markup("That longer training would change nothing: {} {} still improving{}.").format(
            first_of(names),
            "was" if len(names) == 1 else "were",
            f"; the best itself gained {measured(top.ending.gain, board.unit)} {board.unit} in its second half"
            if top in board.unended
            else "",
        )
    if lost := [row for row in board.everything if failed_seeds(row)]:
        names = [Markup("<b>{}</b> ({})").format(row.label, failed_seeds(row)) for row in lost]
        yield Markup("That seeds which failed would have scored like those that did not: {}.").format(first_of(names))
    if fewer := [row for row in board.everything if fewer_seeds(row, board) and row not in lost]:
        names = [Markup("<b>{}</b> ({})").format(row.label, fewer_seeds(row, board)) for row in fewer]
        yield Markup("That all rest on as many trainings: {}.").format(first_of(names))
    if board.most_seeds == 1:
        yield Markup("That another seed would say the same: there is one training of each.")
    if board.left_out:
        names = [Markup("<b>{}</b>").format(row.label) for row in board.left_out]
        which = "it is" if len(names) == 1 else "one of them is"
        better = f", and {which} better already by that" if board.better_unranked else ""
        yield Markup("Anything of {}: {} cannot be trusted{}.").format(
            first_of(names), "its bound" if len(names) == 1 else "their bounds", better
        )
    if board.failed:
        names = [Markup("<b>{}</b>").format(one.label) for one in board.failed]
        yield Markup("Anything of {}, which failed.").format(first_of(names))
    refined = [row for row in board.ranked if row.refined]
    if refined:
        yield Markup(
            "That an encoder alone would reach this: {} of {} scores are from proposals fitted to each image."
        ).format(len(refined), len(board.ranked))
    if untried := untried_families(board):
        yield Markup("Anything of what was not tried: {}.").format(listed(untried))
    yield Markup("That it holds for other data, networks or budgets than those tried.")


def _duration(seconds: float) -> str:
    """'8 s', '3 min', '2.5 h'."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
