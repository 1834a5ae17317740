"""Let `import torch` cost nothing until a tensor is made.

The parent process reads the registry of likelihoods (names, cards, option checks, output widths), and those files
import torch at their top. Importing torch takes seconds and hundreds of megabytes; the parent never makes a tensor. So
torch is put into `sys.modules` as a lazy module that executes at the first use of one of its attributes.
"""

from __future__ import annotations

import importlib.util
import sys


def install() -> None:
    """Make the next `import torch` lazy; does nothing where torch is imported already or is not installed."""
    if "torch" in sys.modules:
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["torch"] = module
    spec.loader.exec_module(module)


def executed() -> bool:
    """Whether torch has really been loaded into this process."""
    return "torch._C" in sys.modules
