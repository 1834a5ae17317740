"""All laws that a family breaks, found together and said in a page that can be read."""

from __future__ import annotations

import inspect
import textwrap
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from vae_core.laws.on_loading import LAWS
from vae_core.laws.setting import LawBroken, Setting, settings
from vae_core.likelihoods import Likelihood
from vae_core.likelihoods._plugins import undeclared

WIDTH = 79


@dataclass
class _Fault:
    """One thing that is wrong, of one law, or one error that several laws meet."""

    said: str
    remedy: str
    laws: dict[str, None] = field(default_factory=dict)
    settings: dict[str, None] = field(default_factory=dict)


def check(family: type[Likelihood]) -> None:
    """Holds a family to all laws at all its settings. Raises LawBroken with everything that it breaks: an item for each
    law, with the first setting that breaks it, how many others do, and the remedy."""
    if missing := undeclared(family):
        raise LawBroken(f"{family.name} {missing}")
    tried = list(settings(family))
    faults: dict[str, _Fault] = {}
    for setting in tried:
        for law in LAWS:
            name = law.__name__.replace("_", " ")
            try:
                law(setting)
            except LawBroken as broken:
                fault = faults.setdefault(name, _Fault(str(broken), broken.remedy))
            except Exception as error:  # a plug-in may raise anything
                said = f"{type(error).__name__}: {' '.join(str(error).split())}"
                where = own_line(error, family)
                fault = faults.setdefault(type(error).__name__ + where if where else said, _Fault(said, where))
            else:
                continue
            fault.laws[name] = fault.settings[str(setting)] = None
    if faults:
        raise LawBroken(_page(family.name, list(faults.values()), tried))


def own_line(error: BaseException, family: type[Likelihood]) -> str:
    """The last line of the family's own file that an error went through, with its code; "" where it met none."""
    own = {inspect.getfile(cls) for cls in family.__mro__ if cls.__module__ == family.__module__}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    return f"line {frames[-1].lineno} of {family.name}.py: `{frames[-1].line}`" if frames else ""


def _page(name: str, faults: Sequence[_Fault], tried: Sequence[Setting]) -> str:
    """A heading, and an item for each fault, in lines that a terminal of 80 columns shows whole."""
    count = len({law for fault in faults for law in fault.laws})
    lines = [f"{name} breaks {count} of {len(LAWS)} laws:"]
    for fault in faults:
        laws = ", ".join(f"'{law}'" for law in fault.laws) if len(fault.laws) < len(LAWS) else "every law"
        item = f"- {laws} ({_where(list(fault.settings), len(tried))}): {fault.said}."
        remedy = f" {fault.remedy[:1].upper()}{fault.remedy[1:]}." if fault.remedy else ""
        lines += textwrap.wrap(
            item + remedy, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines)


def _where(broken: Sequence[str], tried: int) -> str:
    """'sigma=0.02 and 3 more of 8 settings'."""
    if tried == 1:
        return broken[0]
    more = len(broken) - 1
    return f"{broken[0]}{f' and {more} more' if more else ''} of {tried} settings"
