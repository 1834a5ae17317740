"""Repeated work on fixed tensors as one captured CUDA graph: a replay costs one launch instead of one a kernel.

What is captured must read and write tensors that stay where they are, and must not wait for the device: no value of a
tensor may be read on the host. See NVIDIA's CUDA Programming Guide, "CUDA Graphs", and torch.cuda.graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from vae_core.numerics.accelerators import Accelerator, Recorded, accelerator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: ordinary calls before the capture: libraries choose their algorithms and make their workspaces in them
WARM_UP = 3


class NotCaptured(RuntimeError):
    """The device could not capture the work; nothing of it was carried out."""


def recorder_of(kind: Accelerator | None) -> Callable[[Callable[[], Tensor]], tuple[Recorded, Tensor]]:
    """Gives the work as a graph, not yet carried out, and the tensor that it will leave its result in; raises
    NotCaptured where something in it cannot be captured, and on a device that has no graphs."""

    def record(work: Callable[[], Tensor]) -> tuple[Recorded, Tensor]:
        if kind is None:
            raise NotCaptured("this device has no graphs")
        try:
            return kind.record(work)
        except RuntimeError as error:  # torch.AcceleratorError is one
            raise NotCaptured(" ".join(str(error).split())[:200]) from error

    return record


class Replay:
    """Calls work in the ordinary way WARM_UP times, then records it, and replays the recording from then on.

    The work is given at each call, always the same, and not kept: whoever owns both is freed with its graph as soon as
    nobody holds it. The result of a call is overwritten by the next. Where the work cannot be captured, a warning says
    why, and all calls are ordinary ones: the same numbers, more slowly.
    """

    def __init__(
        self,
        device: torch.device,
        record: Callable[[Callable[[], Tensor]], tuple[Recorded, Tensor]] | None = None,
        otherwise: Callable[[Exception], bool] | None = None,
    ) -> None:
        """`otherwise`: makes the work another, plainer one, of which a capture is tried anew; whether it could."""
        self._kind = accelerator(device)
        self._record = record or recorder_of(self._kind)
        self._otherwise = otherwise
        self._ordinary = WARM_UP
        self._recording: Recorded | None = None
        self._result: Tensor | None = None

    @property
    def captured(self) -> bool:
        """Whether calls are replays by now."""
        return self._recording is not None

    def __call__(self, work: Callable[[], Tensor]) -> Tensor:
        if self._recording is None and self._ordinary == 0:
            self._capture(work)
        if self._recording is not None and self._result is not None:
            self._recording.replay()
            return self._result
        self._ordinary -= self._ordinary > 0
        return work() if self._kind is None else self._kind.apart(work)

    def _capture(self, work: Callable[[], Tensor]) -> None:
        try:
            self._recording, self._result = self._record(work)
        except NotCaptured as error:
            if self._otherwise is not None and self._otherwise(error):
                self._ordinary = WARM_UP
                return
            warnings.warn(f"training goes on without a captured graph: {error}", RuntimeWarning, stacklevel=3)
            self._ordinary = -1  # never again
