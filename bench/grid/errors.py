"""The errors that are meant for people."""

from __future__ import annotations


class UserError(Exception):
    """Something that a person asked for and that cannot be done: the message is one sentence, with the remedy."""
