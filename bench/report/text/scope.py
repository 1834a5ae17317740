"""The scope of what a board says (docs/RULES.md, rule 15): what was tried and what not, on which data, with which
network, budget and seeds; and one sentence, scope included, that may be quoted.

The two sentences share nearly all of their parts, so they are one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from bench.grid.families import registry
from bench.grid.settings import KEYS
from bench.report.numbers import amount, listed, measured, number, several, tested_on
from bench.report.text.findings import first_of, of_one_seed, without_data
from bench.report.text.references import above_references, to_uniform
from bench.report.text.training import failed_seeds, of_all_kl
from bench.report.text.tuning import at_stake, words
from bench.statistics.boards import Board
from bench.statistics.claims.spread import may_owe_to_objective
from bench.statistics.failed import BINARY, Failed
from bench.statistics.rows import Row
from vae_core.statistics.intervals import Verdict

NETWORK = ("network", "hidden", "activation", "latent")
#: what networks other than perceptrons have besides, and how it is said
BESIDES = {
    "widths": "channels {}",
    "depth": "depth {}",
    "kernel": "kernel {}",
    "normalisation": "normalisation {}",
    "dropout": "dropout {}",
}


def pool(board: Board) -> str:
    """Among what the best was sought: 'the 6 families and 2 recipes tried', or 'ranked', where not all could be."""
    ranked = _counted({(row.family, row.recipe) for row in board.ranked})
    return f"the {ranked} {'tried' if ranked == _counted(_asked(board)) else 'ranked'}"


def scope(board: Board) -> Markup:
    """What the headline holds for, in two sentences."""
    return Markup("Tried: {} on {}, {}. {}.").format(_tried(board), _data(board), _how(board), _untried_sentence(board))


def quote(board: Board) -> Markup:
    """What the board says, in one sentence that is true wherever it is quoted."""
    untried = listed(untried_families(board))
    claim = Markup("; ").join([_claim(board), *_but(board)])
    many = len(board.everything) + len(_lost(board)) > 1
    tried = _tried(board, f"not tried: {untried}" if untried else "")
    among = Markup("among {}, each a VAE" if many else "of {}, a VAE").format(tried)
    return without_data(board, Markup("On {}, {} with {}: {}.").format(_data(board), among, _how(board), claim))


def untried_families(board: Board) -> list[str]:
    """The families of the catalogue that could have scored these data and were not asked for; recipes are no families,
    and plug-ins are not of the catalogue.

    Binarised pixels can be scored by what sees 0 and 1 alone; all else by every family that sees levels.
    """
    catalogue = registry()
    able = []
    for name in set(catalogue.known()) - set(catalogue.plugins()):
        family = catalogue.get(name)
        if _scores(board, family.view) and not issubclass(family, catalogue.Recipe):
            able.append(name)
    asked = {family for family, _ in _asked(board)}
    return sorted(name for name in able if name not in asked)


def _scores(board: Board, view: str) -> bool:
    """Whether what sees data so can be scored on the board's: draws of 0 and 1 on two levels, all else on levels."""
    levels = board.scope.levels
    of_two = levels == 2 if levels else any(row.view != BINARY for row in board.everything)
    return board.levels == 2 if view == BINARY else board.levels > 2 or of_two


def _lost(board: Board) -> list[Failed]:
    """What gave no score and could have given one here; what failed before it was seen by this board's levels is named
    beside the headline, and is none of those that were tried on it."""
    return [lost for lost in board.failed if _scores(board, lost.view)]


def _untried_sentence(board: Board) -> Markup:
    if not (untried := untried_families(board)):
        return Markup("Every family of the catalogue that can score such data was tried")
    return Markup("Not tried: {}").format(listed(untried))


def _asked(board: Board) -> set[tuple[str, bool]]:
    """Every family that was tried, and whether it is a recipe."""
    scored = {(row.family, row.recipe) for row in board.everything}
    return scored | {(lost.family, lost.recipe) for lost in _lost(board)}


def _counted(families: set[tuple[str, bool]]) -> str:
    """'6 families and 2 recipes'."""
    recipes = sum(recipe for _, recipe in families)
    proper = len(families) - recipes
    counted = [f"{proper} {'family' if proper == 1 else 'families'}"] * bool(proper)
    return listed(counted + [several(recipes, "recipe")] * bool(recipes))


def _tried(board: Board, besides: str = "") -> str:
    """'14 configurations of 6 families and 2 recipes', and in brackets what is to be known besides."""
    left, lost = len(board.left_out), len(_lost(board))
    counted = several(len(board.everything) + lost, "configuration")
    without = [f"{left} not ranked"] * bool(left) + [f"{lost} without a score"] * bool(lost)
    if len(board.everything) + lost > 1:
        counted += f" of {_counted(_asked(board))}"
    notes = "; ".join(filter(None, (", ".join(without), besides)))
    return counted + (f" ({notes})" if notes else "")


def _data(board: Board) -> Markup:
    """'digits (8×8, 17 levels; 1,197 training and 300 test images)'."""
    facts = board.scope
    shape = "×".join(map(str, facts.shape)) or several(board.dims, "value")
    levels = f"{board.levels} levels"
    if board.levels == 2 and board.binarisation and facts.levels != 2:
        levels += f" by {board.binarisation} binarisation"
    train = f"{facts.train:,} training and " if facts.train else ""
    return Markup("{} ({}, {}; {}{})").format(board.data, shape, levels, train, tested_on(board))


def _how(board: Board) -> Markup:
    """Network, budget, what was made of the KL, what was tuned, seeds."""
    rows = board.everything
    said = (_network(rows, board.dims), _budget(board), of_all_kl(rows), _tuned(rows), _seeds(rows))
    return Markup(", ").join(text for text in said if text)


def _network(rows: Sequence[Row], dims: int) -> str:
    """'a 64–200–10 tanh MLP'; of several, what varies: 'a tanh MLP, latent 3, with hidden layers 64–32 or 32'. What was
    tuned is named where all that was tuned is."""
    asked = {key: _several(row.settings[key] for row in rows if key not in row.tuned.candidates) for key in NETWORK}
    besides = _besides(rows)
    if all(len(values) == 1 for values in asked.values()) and not any(key in _keys(rows) for key in NETWORK):
        network, hidden, activation, latent = (values[0] for values in asked.values())
        if network == "mlp" and not besides:
            return f"a {'–'.join([str(dims), *hidden.split(','), latent])} {activation} {network.upper()}"
    if not any(asked.values()):
        return "a tuned network"
    kind = _either(list(map(_kind, asked["network"]))) or "network"
    alike = asked["activation"] if len(asked["activation"]) == 1 else []
    head = " ".join([*alike, kind])
    said = [f"{'an' if head[0] in 'aeiou' or head.startswith('MLP') else 'a'} {head}"]
    if not alike and asked["activation"]:
        said.append(f"activation {_either(asked['activation'])}")
    if asked["latent"]:
        said.append(f"latent {_either(asked['latent'])}")
    if asked["hidden"]:
        layers = _either([hidden.replace(",", "–") or "none" for hidden in asked["hidden"]])
        one = all(hidden.isdigit() for hidden in asked["hidden"])
        said.append(f"with {'a hidden layer of' if one else 'hidden layers'} {layers}")
    return ", ".join([*said, *besides])


def _kind(network: str) -> str:
    """A network by its name as people write it: 'MLP', 'convolutional network', 'ResNet', 'network of own.py'."""
    named = {"conv": "convolutional network", "resnet": "ResNet"}
    return named.get(
        network, f"network of {network.rpartition('/')[2]}" if network.endswith(".py") else network.upper()
    )


def _besides(rows: Sequence[Row]) -> list[str]:
    """Of what the convolutional networks among the rows are made, and what else is not as it is unless it is said."""
    said = []
    for key, text in BESIDES.items():
        of = [row for row in rows if row.settings.get(key) is not None and key not in row.tuned.candidates]
        if key in ("widths", "kernel"):  # which a perceptron has not, and others always
            values = _several(row.settings[key] for row in of if row.settings["network"] in ("conv", "resnet"))
        else:
            usual = KEYS[key].absent
            values = _several(row.settings[key] for row in of)
            values = [] if all(value in (str(usual), f"{usual}.0", "nan") for value in values) else values
        if values:
            said.append(text.format(_either([value.replace(",", "–") for value in values])))
    return said


def _budget(board: Board) -> str:
    """How long trainings went: to their end, or as long as the grid said; and how many had not ended."""
    rows = board.everything
    limits = sorted({int(row.settings["epochs"]) for row in rows})
    most = number(limits[0], 0) if len(limits) == 1 else f"{number(limits[0], 0)}–{number(limits[-1], 0)}"
    improving = sum(row.ending.improving > 0 for row in rows)
    which = "" if len(rows) == 1 else f"{improving} of {len(rows)} "
    not_ended = f"{which}still improving then" if improving else ""
    if all(int(row.settings["patience"]) > 0 for row in rows):
        inside = "; ".join(text for text in (f"at most {most} epochs", not_ended) if text)
        return f"trained until its validation bound stops rising ({inside})"
    return f"trained for {most} epochs" + (f" ({not_ended})" if not_ended else "")


def _tuned(rows: Sequence[Row]) -> str:
    """What was tuned, 'learning rate tuned'; or the rate that all were given."""
    keys = _keys(rows)
    texts = []
    if keys:
        alike = all(set(row.tuned.candidates) == set(keys) for row in rows)
        texts.append(f"{listed([words(key) for key in keys])} tuned{'' if alike else ' for some'}")
    if "learning_rate" not in keys:
        rates = _several(f"{float(row.settings['learning_rate']):.12g}" for row in rows)
        texts.append(f"learning rate {_either(rates)}, not tuned")
    return ", ".join(texts)


def _keys(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row.tuned.candidates))


def _seeds(rows: Sequence[Row]) -> str:
    fewest, most = min(row.seeds for row in rows), max(row.seeds for row in rows)
    return several(most, "seed") if fewest == most else f"{fewest}–{most} seeds"


def _claim(board: Board) -> Markup:
    """Which configuration is first, by what number, and whether others may be as good."""
    ranked = board.ranked
    if not ranked:
        return Markup("none can be ranked, for no bound on its log-likelihood can be trusted")
    top, *others = ranked
    value = amount(top.value, board.unit).strip()
    if not others:
        alone = "only one that can be ranked" if board.left_out or _lost(board) else "only one"
        above = f", which is {above_references(board)}," if above_references(board) else ""
        text = Markup("<b>{}</b>, the {}, reaches {}{} and is compared with no other configuration")
        return text.format(top.label, alone, value, above)
    if not board.judged:
        return Markup("<b>{}</b> has the best mean, {}, which {} are too few to tell from any other").format(
            top.label, value, tested_on(board)
        )
    which = "of those that can be ranked, " if board.better_unranked else ""
    if board.unpaired:
        return Markup("{}<b>{}</b> has the best mean, {}, but {}").format(
            which, top.label, value, shares_no_seed(board)
        )
    text = Markup(
        "{}<b>{}</b> has the highest log-likelihood of the test images (importance-weighted, exact masses), {}"
    ).format(which, top.label, value)
    level = [row for row in others if row.verdict == Verdict.INDISTINGUISHABLE]
    if level:
        return text + Markup(", indistinguishable from {}").format(_names(level))
    return text + Markup(", ahead of <b>{}</b> by {}").format(
        others[0].label, amount(others[0].behind, board.unit).strip()
    )


def shares_no_seed(board: Board) -> Markup:
    """With whom the first configuration cannot be compared, so that there is no winner; the end of a sentence."""
    return Markup("shares no seed with {}: which of them is better cannot be judged").format(_names(board.unpaired))


def better_bound(board: Board) -> str:
    """How the best of the bounds that are left out, and have a better mean than the first configuration, stands to
    that; the end of a sentence."""
    (lead,) = board.leads([(board.better_unranked[0].config, board.ranked[0].config)])
    if lead is None:
        return "has a better mean and cannot be compared with that, for they have no seed in common"
    if lead.low > 0:
        return f"is better than that by at least {measured(lead.mean, board.unit)} {board.unit}"
    return "is better than that by its mean" + (", but not beyond noise" if lead.low <= 0 else "")


def _but(board: Board) -> list[Markup]:
    """All that a reader of the claim must know besides."""
    if not board.ranked:
        return []
    top, texts = board.ranked[0], []
    if not board.beats_uniform(top):
        stands = to_uniform(board, top) if board.judged else "by its mean behind a uniform guess"
        texts.append(Markup("but it is {} ({})").format(stands, measured(board.uniform, board.unit)))
    elif board.unbeaten:
        texts.append(_not_beaten(board))
    if board.better_unranked:
        texts.append(
            Markup("the bound of {}, which cannot be trusted, {}").format(
                _names(board.better_unranked[:1]), better_bound(board)
            )
        )
    if owing := may_owe_to_objective(board):
        texts.append(
            Markup("{} {} trained on dequantised data alone, and may owe {} to that").format(
                _names(owing), "was" if len(owing) == 1 else "were", "its place" if len(owing) == 1 else "their places"
            )
        )
    if top.ending.improving:
        texts.append(Markup("its training had not ended"))
    if board.within_reach:
        texts.append(
            Markup("the training of {}, which may yet reach it, had not ended").format(_names(board.within_reach))
        )
    if edged := at_stake(board):
        texts.append(Markup("what was tuned for {} lies at the edge of its range").format(_names(edged)))
    if top.ending.failed:
        texts.append(Markup("of it {}").format(failed_seeds(top)))
    if board.failed:
        texts.append(
            Markup("no score was got from {}").format(
                first_of([Markup("<b>{}</b>").format(lost.label) for lost in board.failed])
            )
        )
    if all(row.seeds < 2 for row in board.everything):
        each = "each" if len(board.everything) > 1 else "it"
        texts.append(Markup("{} {}, so that the noise of training is unknown").format(each, of_one_seed(board)))
    return texts


def _not_beaten(board: Board) -> Markup:
    """Which references are better than the first configuration, or else which it is not shown to be better than."""
    better = [row for row in board.unbeaten if row.behind.mean <= 0 and row.verdict != Verdict.INDISTINGUISHABLE]
    rows = better or board.unbeaten
    named = first_of([Markup("<b>{}</b> ({})").format(row.label, measured(row.value.mean, board.unit)) for row in rows])
    plural = "" if len(rows) == 1 else "s"
    if not board.judged:
        return Markup("but by its mean it is not ahead of the reference{} {}").format(plural, named)
    return Markup("but it is {} the reference{} {}").format(
        "worse than" if better else "not shown to be better than",
        plural,
        named,
    )


def _names(rows: Sequence[Row]) -> Markup:
    return first_of([Markup("<b>{}</b>").format(row.label) for row in rows])


def _several(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(map(str, values)))


def _either(values: Sequence[str]) -> str:
    return listed(list(values)).replace(" and ", " or ")
