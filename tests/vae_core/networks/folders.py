"""The folder of networks with files of a test's own beside the shipped ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae_core import networks
from vae_core.networks import _base

ONE_MORE = Path(__file__).parent / "one_more"


@contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Inside, the files of `folder` are found as if they lay in vae_core/networks."""
    before = set(sys.modules)
    networks.__path__.append(str(folder))
    _base._networks.cache_clear()
    try:
        yield
    finally:
        networks.__path__.remove(str(folder))
        _base._networks.cache_clear()
        for name in set(sys.modules) - before:
            if name.startswith("vae_core.networks."):
                del sys.modules[name]
