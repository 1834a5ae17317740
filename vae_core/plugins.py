"""Likelihoods from a user's own file: read, executed, held to the laws, and added to the catalogue.

A file holds one family, as each of vae_core/likelihoods does, and its name is the family's name
(examples/triangular.py shows one). What installed packages offer the catalogue itself imports, when it is named.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from vae_core import likelihoods
from vae_core.likelihoods import Likelihood, Plugin
from vae_core.likelihoods._plugins import declared, importing

LARGEST = 10_000_000  # bytes of a file
PREFIX = "vae_core.likelihoods.plugin"  # in front of the file's stem: the name of a plug-in's module


def register(path: str | Path, *, check: bool = True) -> str:
    """Takes in a family from a user's own Python file; its name, which is returned, is the file's stem.

    The file defines exactly one concrete class on `Density`, `Mass` or `Recipe`. A file that is registered already is
    not read into a second family.

    Args:
        path: the .py file; it is imported, so it can do anything that you can.
        check: hold it to the laws of `vae_core.laws` first (half a second; the catalogue is as before if it fails).

    Raises:
        ValueError: no such file, not one family in it, a name that is taken, or a law that it breaks.
    """
    plugin, source = read(Path(path))
    registered = likelihoods.plugins().get(plugin.name)
    if registered is not None and registered.sha256 == plugin.sha256:
        plugin, family = registered, likelihoods.get(plugin.name)
    elif plugin.name in (*likelihoods.names(), *likelihoods.ALIASES):
        raise ValueError(f"the plug-in {path}: there is a family {plugin.name!r} already; rename the file")
    else:
        family = execute(plugin, source)
    if check:
        from vae_core import laws  # executes torch, which this module does not

        laws.check(family)
    likelihoods.add(plugin, family)
    return plugin.name


def read(path: Path) -> tuple[Plugin, bytes]:
    """A plug-in's file, not yet executed. Raises ValueError where it can be none."""
    if path.suffix != ".py":
        raise ValueError(f"the plug-in {path} is no Python file: give a .py")
    if not (path.stem.isidentifier() and not path.stem.startswith("_")):
        raise ValueError(f"the plug-in {path} must be named as a family: letters, digits and _, a letter first")
    try:
        if (size := path.stat().st_size) > LARGEST or not path.is_file():
            what = f"{size:,} bytes are no family" if path.is_file() else "it is no file that has an end"
            raise ValueError(f"the plug-in {path} cannot be read: {what}")
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(f"the plug-in {path} cannot be read: {error.strerror}") from None
    return Plugin(path.stem, path.absolute(), hashlib.sha256(source).hexdigest()), source


def execute(plugin: Plugin, source: bytes) -> type[Likelihood]:
    """The family of a file that was read; nothing is written beside it. Raises ValueError."""
    name = f"{PREFIX}.{plugin.name}"
    spec = importlib.util.spec_from_file_location(name, plugin.file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with importing(str(plugin.file)):
            exec(compile(source, plugin.file, "exec"), vars(module))
        return declared(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, ValueError):
            raise ValueError(f"the plug-in {plugin.file.name} {error}") from error.__cause__
        raise
