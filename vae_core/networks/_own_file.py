"""A file with a user's own network: read, looked at without being executed, and executed where one is built."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from vae_core.likelihoods._plugins import importing

PARTS = ("Encoder", "Decoder")
SETTINGS = ("hidden", "activation", "widths", "depth", "kernel", "normalisation", "dropout")
LARGEST = 10_000_000  # bytes of a file


@dataclass(frozen=True)
class Source:
    """A file with a network, read and not executed."""

    path: Path
    text: bytes
    sha256: str
    reads: tuple[str, ...]  #: the settings that its classes name

    @property
    def name(self) -> str:
        return self.path.name


def read(path: str | Path) -> Source:
    """Raises ValueError, one sentence, where it can be no network."""
    path = Path(path)
    try:
        if not path.expanduser().is_file():
            raise ValueError(f"there is no network {str(path)!r}: give the path of a .py that is there, or a name")
        if (size := path.expanduser().stat().st_size) > LARGEST:
            raise ValueError(f"the network {path.name} cannot be read: {size:,} bytes are no network")
        text = path.expanduser().read_bytes()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"the network {path.name} cannot be read: {getattr(error, 'strerror', error)}") from None
    digest = hashlib.sha256(text).hexdigest()
    return Source(path.expanduser(), text, digest, _reads(path.name, text))


@functools.lru_cache(maxsize=64)
def _reads(name: str, text: bytes) -> tuple[str, ...]:
    """Which settings the classes of a text name in __init__. Raises ValueError where it has not both classes."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        where = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ValueError(f"the network {name} is no Python{where}: mend it") from None
    bound: set[str] = set()
    named: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bound.add(node.name)
            inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
            named += [arg.arg for init in inits for arg in (*init.args.args, *init.args.kwonlyargs)]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            bound |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    if lacking := [part for part in PARTS if part not in bound]:
        raise ValueError(
            f"the network {name} has no class {' and no class '.join(lacking)}: write two classes of torch.nn.Module, "
            "Encoder and Decoder"
        )
    return tuple(key for key in SETTINGS if key in named)


#: by path, the checksum of the code that is meant
_MEANT: dict[str, str] = {}


def mean(checksums: Mapping[str, str]) -> None:
    """From now on these paths stand for code of these checksums alone."""
    _MEANT.update(checksums)


def meant(path: str) -> Source:
    """A file, read. Raises ValueError where it is not the code that is meant."""
    source = read(path)
    if _MEANT.get(path, source.sha256) != source.sha256:
        raise ValueError(f"the network {source.name} was changed while it was in use; begin again")
    return source


@functools.lru_cache(maxsize=16)
def executed(source: Source) -> ModuleType:
    """The module of a file; nothing is written beside it. Raises ValueError."""
    name = f"vae_core.networks.own.{source.path.stem}_{source.sha256[:8]}"
    spec = importlib.util.spec_from_file_location(name, source.path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with importing(str(source.path)):
            exec(compile(source.text, source.path, "exec"), vars(module))
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, ValueError):
            raise ValueError(f"the network {source.name} {error}") from error.__cause__
        raise
    return module
