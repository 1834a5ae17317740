"""What every likelihood obeys: laws that a plug-in is held to on loading (`check`), and those that are looked at again
where a trained model is scored (`where_used`)."""

from __future__ import annotations

from vae_core.laws.broken import check
from vae_core.laws.on_loading import LAWS
from vae_core.laws.setting import LEVELS, LawBroken, Setting, levels_of, masses, raw_outputs, settings
from vae_core.laws.where_used import Checked, NotAScore, Watch

__all__ = [
    "LAWS",
    "LEVELS",
    "Checked",
    "LawBroken",
    "NotAScore",
    "Setting",
    "Watch",
    "check",
    "levels_of",
    "masses",
    "raw_outputs",
    "settings",
]
