"""What is said of how trainings ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bench.grid.cell import number_text
from bench.report.numbers import listed, measured, number, several
from bench.report.text.findings import MOST_NAMED, Finding, first_of
from bench.statistics.boards import Board
from bench.statistics.rows import Row, by_family


def how_it_ended(row: Row, unit: str) -> str:
    """How the trainings of one configuration ended; '' where it is not known."""
    ending = row.ending
    if not ending.most > 0:
        return ""
    fewest, most = number(ending.fewest, 0), number(ending.most, 0)
    epochs = most if fewest == most else f"{fewest}–{most}"
    by = f"by {measured(ending.gain, unit)}"
    if ending.improving == row.seeds:
        return f"still improving at epoch {epochs}, {by}"
    if ending.ended == row.seeds:
        return f"ended after {epochs} epochs"
    if not ending.ended + ending.improving:
        return f"at its limit, {epochs} epochs"
    counted = [
        (ending.ended, "ended"),
        (ending.improving, f"still improving, {by}"),
        (row.seeds - ending.ended - ending.improving, "at its limit"),
    ]
    (first, how), *others = ((count, how) for count, how in counted if count)
    text = "; ".join([f"{first} of {row.seeds} seeds {how}", *(f"{count} {how}" for count, how in others)])
    return f"{text} ({epochs} epochs)"


def of_kl(row: Row) -> str:
    """What the training of a configuration made of the KL, 'KL × 0.5 beyond 0.1 nats a latent dimension after a warm-up
    of 20 epochs'; '' where it left it as it is."""
    weight, warmup, free = (float(row.in_use(key)) for key in ("kl_weight", "kl_warmup", "free_bits"))
    if weight == 1 and not warmup and not free:
        return ""
    text = f"KL × {number_text(weight)}"
    if free:
        text += f" beyond {number_text(free)} nats a latent dimension"
    if warmup:
        over = f"{number_text(100 * warmup)} % of the epochs" if warmup < 1 else several(int(warmup), "epoch")
        text += f" after a warm-up of {over}"
    return text


def of_all_kl(rows: Sequence[Row]) -> str:
    """'trained with KL × 0.5, KL × 2 or the KL as it is'; '' where all trainings left it so."""
    found = list(dict.fromkeys(of_kl(row) or "the KL as it is" for row in rows))
    if found == ["the KL as it is"]:
        return ""
    if len(found) > MOST_NAMED:
        found = [*found[: MOST_NAMED - 1], f"{len(found) - MOST_NAMED + 1} others"]
    return f"trained with {listed(found).replace(' and ', ' or ')}"


def weighed(board: Board) -> Markup:
    """That some configurations were trained on something else than the bound that all are scored by, and what epochs
    and candidates were chosen by; nothing where none was."""
    rows = [row for row in board.everything if row.in_use("kl_weight") != 1 or row.in_use("free_bits") > 0]
    warmed = [row for row in board.everything if row.in_use("kl_warmup") > 0]
    text = Markup("")
    if rows:
        names = first_of([Markup("<b>{}</b>").format(row.label) for row in rows])
        one = len(rows) == 1
        text = Markup(
            "{} {} trained with another KL than the bound has. {} training ended, and {} chosen, by what was raised, "
            "weight and free bits in force; scores, ELBOs and the choice of what is tuned are by the bound with the KL "
            "as it is."
        ).format(
            names,
            "was" if one else f"({len(rows)} of {len(board.everything)}) were",
            "Its" if one else "Each",
            "its epoch was" if one else "epochs were",
        )
    if warmed:
        text += Markup(
            "{}Of a warm-up of the KL no epoch is chosen, and patience begins after it ({} configuration{}); until "
            "then curves of training have the weight of the moment."
        ).format(" " if rows else "", len(warmed), "" if len(warmed) == 1 else "s")
    return text


def failed_seeds(row: Row) -> str:
    """'1 of 3 seeds diverged'; '' where every seed has a score."""
    failed, diverged = row.ending.failed, row.ending.diverged
    if not failed:
        return ""
    return f"{failed} of {row.seeds + failed} seeds {'diverged' if diverged == failed else 'failed'}"


def fewer_seeds(row: Row, board: Board) -> str:
    """'1 of 3 seeds' of a row that stands on fewer than another; '' of the others, and of references."""
    return "" if row.reference or row.seeds >= board.most_seeds else f"{row.seeds} of {board.most_seeds} seeds"


def never_scored(board: Board) -> Markup:
    """Which configurations gave no score in any seed, and why, beside the headline: one of them might have won."""
    if not board.failed:
        return Markup("")
    each = [Markup("<b>{}</b> ({})").format(one.label, one.reason) for one in board.failed]
    if len(each) > 1 and len({one.reason for one in board.failed}) == 1:
        names = first_of([Markup("<b>{}</b>").format(one.label) for one in board.failed])
        said = Markup("{} (all: {})").format(names, board.failed[0].reason)
    else:
        said = first_of(each)
    whom = "every seed" if max(one.seeds for one in board.failed) > 1 else "the one seed"
    return Markup("Failed in {} and not in the ranking: {}.").format(whom, said)


def not_ended(board: Board) -> Markup:
    """What the headline must say of trainings that had not ended: of the winner's, and of those of rivals within reach;
    nothing where all that matters had."""
    if not board.ranked:
        return Markup("")
    top, rivals = board.ranked[0], board.within_reach
    texts = []
    if top.ending.improving:
        texts.append(
            Markup("<b>{}</b> itself was still improving, by {} {} in the second half of its training").format(
                top.label, measured(top.ending.gain, board.unit), board.unit
            )
        )
    if rivals:
        names = first_of([Markup("<b>{}</b>").format(row.label) for row in rivals])
        less = "less than it gained" if len(rivals) == 1 else "no more than each gained"
        texts.append(
            Markup("{} {} behind by {} in the second half of {} training").format(
                names, "is" if len(rivals) == 1 else "are", less, "its" if len(rivals) == 1 else "their"
            )
        )
    if not texts:
        return Markup("")
    leads = len(board.ranked) > 1 and not board.unbeaten and board.beats_uniform(top)
    what = "The order of these" if rivals else "How far it leads" if leads else "Its score"
    return Markup("But not every training had ended: {}. {} may be the schedule's.").format(
        Markup("; ").join(texts), what
    )


def training(board: Board) -> Iterator[Finding]:
    """How many trainings had not ended, and by how much they were still improving; and that nothing was tuned, where
    families are compared."""
    texts = tuple(text for text in (weighed(board), _unended(board), _one_rate(board)) if text)
    if texts:
        yield Finding("Training", texts)


def _one_rate(board: Board) -> Markup:
    """That the learning rate is the grid's own, where it is (docs/RULES.md, rule 11)."""
    rows = board.ranked
    if len(by_family(rows)) < 2 or any("learning_rate" in row.tuned.candidates for row in rows):
        return Markup("")
    rates = listed([number_text(rate) for rate in sorted({float(row.settings["learning_rate"]) for row in rows})])
    if any(row.settings["learning_rate"] != rows[0].settings["learning_rate"] for row in rows):
        return Markup("The learning rates are those of the grid, {}, tuned for none of the families.").format(rates)
    return Markup("All have the grid's one learning rate, {}, tuned for none of them: it may suit some better.").format(
        rates
    )


def lost_seeds(board: Board) -> Iterator[Finding]:
    """Which configurations stand on fewer seeds than were asked for, since the others gave no score."""
    names = [
        Markup("<b>{}</b> ({})").format(row.label, failed_seeds(row)) for row in board.everything if row.ending.failed
    ]
    if names:
        text = Markup("Some seeds gave no score, and what is shown is of the others: {}.").format(first_of(names))
        yield Finding("Failed seeds", (text,))


def _unended(board: Board) -> Markup:
    rows = board.unended
    if not rows:
        return Markup("")
    most = max(rows, key=lambda row: row.ending.gain)
    whose = "its" if len(rows) == 1 else "their"
    return Markup(
        "{} {} still improving when {} training reached its limit of epochs: by {} {} in the second half of it "
        "({}<b>{}</b>). Such scores are of the schedule too: train longer before concluding."
    ).format(
        "The only ranked configuration"
        if len(board.ranked) == 1
        else f"{len(rows)} of {len(board.ranked)} ranked configurations",
        "was" if len(rows) == 1 else "were",
        whose,
        measured(most.ending.gain, board.unit),
        board.unit,
        "" if len(rows) == 1 else "at most, ",
        most.label,
    )
