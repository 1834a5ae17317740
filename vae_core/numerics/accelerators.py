"""What is asked of a device that works on its own: a GPU, which is given work and goes on with it while the host does.

Code that computes asks a device what it is like, and not what it is called: `accelerated`, where large pieces pay and
a look at a value is a wait; `at_hand`, where values can be looked at for nothing. So another kind of device is one
entry of KINDS (but for its name to people, and memory that is given back, where CUDA is asked for by name), and tests
that have none put a pretended one there (tests/pretended).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Recorded(Protocol):
    """Work that was recorded, and can be done again."""

    def replay(self) -> None: ...


class Accelerator(Protocol):
    """One kind of them."""

    def synchronise(self) -> None:
        """Waits until all that was asked for is done."""

    def capturing(self) -> bool:
        """Whether what is asked for now is recorded, so that no value can be read."""

    def apart(self, work: Callable[[], Tensor]) -> Tensor:
        """Does the work as a recording demands of the calls before it: after all that was asked for, and before all
        that follows, on a stream of its own."""

    def record(self, work: Callable[[], Tensor]) -> tuple[Recorded, Tensor]:
        """The work as one piece, not yet carried out, and the tensor that it will leave its result in. Raises
        RuntimeError where something in it cannot be recorded."""


class Cuda:
    """NVIDIA's, by CUDA graphs and streams (CUDA Programming Guide, "CUDA Graphs")."""

    def synchronise(self) -> None:
        torch.cuda.synchronize()

    def capturing(self) -> bool:
        return torch.cuda.is_current_stream_capturing()

    def apart(self, work: Callable[[], Tensor]) -> Tensor:
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            result = work()
        current.wait_stream(side)
        return result

    def record(self, work: Callable[[], Tensor]) -> tuple[Recorded, Tensor]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = work()
        return graph, result


#: by the type of a torch.device; None: its values are at hand
KINDS: dict[str, Accelerator | None] = {"cpu": None, "cuda": Cuda()}


def accelerator(device: torch.device) -> Accelerator | None:
    """None for a CPU, and for what is no device that computes ("meta")."""
    return KINDS.get(device.type)


def accelerated(device: torch.device) -> bool:
    """Whether it works on its own: large pieces pay there, and to read a value is to wait."""
    return accelerator(device) is not None


def at_hand(device: torch.device) -> bool:
    """Whether values on it can be looked at without waiting."""
    return device.type in KINDS and KINDS[device.type] is None


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all that it was asked for."""
    if (kind := accelerator(device)) is not None:
        kind.synchronise()
