"""What is said of a ranking in other contexts: a sentence for each way in which two of them differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bench.report.numbers import NOTHING, listed, number, several
from bench.statistics.claims.carry import FEWEST, MOST, MOST_CONTEXTS, Carried, Comparison, Differs, Verdict
from bench.statistics.rows import Withheld, grouped

DIGITS = 2  # of τ
TO = {
    Differs.NETWORK: "To another network on the same data",
    Differs.DATA: "To other data with the same network",
    Differs.SETTINGS: "To other data with a network of the same kind in other settings",
    Differs.BOTH: "To another network and other data",
}
SAID = {Verdict.UNJUDGED: "is not judged", Verdict.UNCOMPARED: "is not compared", Verdict.OPEN: "is left open"}


def sentences(found: Carried) -> Iterator[Markup]:
    """What the section says first: in how many comparisons the ranking carries over, network and data apart; then what
    they leave out."""
    ways = grouped(found.comparisons, lambda one: one.differs)
    for way in Differs:
        if some := ways.get(way):
            yield Markup("{} {}").format(TO[way], _one(some[0]) if len(some) == 1 else _several(some))
    yield from _left(found)


def short(found: Carried) -> str:
    """The same in a line or two, for a terminal."""
    counts = Counter(one.verdict for one in found.comparisons)
    parts = [
        f"{_verb(verdict)} {'once' if counts[verdict] == 1 else f'{counts[verdict]} times'}"
        for verdict in Verdict
        if counts[verdict]
    ]
    turned = sum(len(one.turned) for one in found.judged)
    pairs = sum(one.pairs for one in found.judged)
    judged = f"; of {several(pairs, 'pair')} {turned} surely {'turns' if turned == 1 else 'turn'} round" * bool(pairs)
    whole = several(len(found.contexts), "context")
    return f"In {whole} of data and network, two at a time, the ranking {listed(parts)}{judged}."


def between(one: Comparison) -> str:
    """'digits: MLP and ResNet', 'MLP: digits and patches', 'digits, MLP and patches, ResNet'."""
    if one.differs is Differs.NETWORK:
        return f"{one.one.data}: {one.one.network} and {one.other.network}"
    if one.one.network == one.other.network:
        return f"{one.one.network}: {one.one.data} and {one.other.data}"
    return f"{one.one.name} and {one.other.name}"


def tau(one: Comparison) -> str:
    return number(one.tau, DIGITS)


def interval(one: Comparison) -> str:
    """'[0.73, 1.00]', with a space that does not break; '' where nothing is judged."""
    low, high = number(one.low, DIGITS), number(one.high, DIGITS)
    return "" if low == NOTHING else f"[{low},\u00a0{high}]"


def why(one: Comparison) -> str:
    """Why two contexts are not judged, or not compared; '' where they are."""
    if one.verdict is Verdict.UNJUDGED:
        return f"{Withheld.FEW_IMAGES}, in one of the two"
    if one.verdict is not Verdict.UNCOMPARED:
        return ""
    if one.shared >= FEWEST:
        return "no two of their likelihoods share a seed in both"
    ranked = {0: "no likelihood is", 1: "one likelihood is"}.get(one.shared, f"{one.shared} likelihoods are")
    return f"{ranked} ranked in both with all else alike, and an order needs {FEWEST}"


def _verb(verdict: Verdict) -> str:
    return SAID.get(verdict, str(verdict))


def _one(one: Comparison) -> Markup:
    """Of one comparison, after its way."""
    start = Markup("(<b>{}</b>) the ranking <b>{}</b>").format(between(one), _verb(one.verdict))
    if reason := why(one):
        return start + Markup(": {}.").format(reason)
    spread = Markup(": τ = {} {}").format(tau(one), interval(one))
    pairs = Markup("of {} of {} likelihoods {}").format(several(one.pairs, "pair"), one.shared, _counted(one))
    return start + spread + Markup("; ") + pairs + Markup(".") + _most_turned([one])


def _counted(one: Comparison) -> str:
    turned = len(one.turned)
    return listed(
        [
            f"{one.kept} surely {'keeps its' if one.kept == 1 else 'keep their'} order",
            f"{turned} surely {'turns' if turned == 1 else 'turn'} round",
            f"{one.open} {'is' if one.open == 1 else 'are'} open",
        ]
    )


def _several(some: Sequence[Comparison]) -> Markup:
    """Of several comparisons of one way."""
    counts = Counter(one.verdict for one in some)
    parts = [Markup("<b>{}</b> in {}").format(_verb(one), counts[one]) for one in Verdict if counts[one]]
    text = Markup("the ranking {} of {} comparisons").format(Markup(listed(list(map(str, parts)))), len(some))
    judged = [one for one in some if one.judged]
    if judged:
        low, high = (number(pick(one.tau for one in judged), DIGITS) for pick in (min, max))
        turned = sum(len(one.turned) for one in judged)
        text += Markup(" (τ {}; {} of {} surely {} round, {} are open)").format(
            low if low == high else f"{low} to {high}",
            turned,
            several(sum(one.pairs for one in judged), "pair"),
            "turns" if turned == 1 else "turn",
            sum(one.open for one in judged),
        )
    return text + Markup(".") + _most_turned(judged)


def _most_turned(some: Sequence[Comparison]) -> Markup:
    """The two likelihoods that turn round most often."""
    counts = Counter(tuple(sorted((turn.better, turn.worse))) for one in some for turn in one.turned)
    if not counts:
        return Markup("")
    (first, second), times = min(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(counts) == 1:
        return Markup(" What turns round: <b>{}</b> and <b>{}</b>.").format(first, second)
    among = " in one" if times == 1 and len(some) > 1 else f" in {times} of them" if len(some) > 1 else ""
    return Markup(" What turns round{}: <b>{}</b> and <b>{}</b>, among others.").format(among, first, second)


def _left(found: Carried) -> Iterator[Markup]:
    if found.left:
        yield Markup("Compared are the {} likelihoods that stand best on the whole; {} more are not.").format(
            MOST, found.left
        )
    if found.left_contexts:
        yield Markup("Compared are the {} contexts with most likelihoods; {} more are not.").format(
            MOST_CONTEXTS, found.left_contexts
        )
    unpaired = sum(one.uncompared for one in found.judged)
    if unpaired:
        yield Markup("Left out for want of a common seed: {}.").format(several(unpaired, "pair"))
