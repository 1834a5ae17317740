"""Scoring in one pass: what torch's compiler makes of a likelihood on a GPU.

The dozens of elementwise operations of an exact mass and the sum over dimensions are given to it as a whole, to be one
kernel that reads each raw output once; pieces of raw outputs are small enough to stay in the GPU's cache between the
decoder's last product and that kernel (`Tiling`), so that [N·L, D] is never stored. The plain path remains the
reference, and what is used where compiling would cost more than it saves or fails.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from vae_core.numerics.accelerators import accelerated

#: raw outputs that a scorer sees in one evaluation, from which on some seconds of compiling are worth it on a GPU
WORTH_COMPILING = 1 << 31
#: variants of one compiled function: families × modes × with and without gradients; torch's own limits are 8 and 256,
#: beyond which it goes on uncompiled and says nothing
_VARIANTS = 512


def fused(score: Callable[..., Tensor], device: torch.device, outputs: int) -> Callable[..., Tensor]:
    """The same function of tensors, compiled where it will see `outputs` raw outputs in all on a GPU and that is worth
    it; as it is anywhere else."""
    if not accelerated(device) or outputs < WORTH_COMPILING:
        return score
    return compiled(score)


def compiled(score: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compiled for any number of images and samples. Where the compiler fails a warning says why, and the plain
    function is called from then on."""
    for limit in ("recompile_limit", "accumulated_recompile_limit"):
        setattr(torch._dynamo.config, limit, max(getattr(torch._dynamo.config, limit), _VARIANTS))
    fast: Callable[..., Tensor] | None = torch.compile(score, dynamic=True)

    def call(*arguments: object) -> Tensor:
        nonlocal fast
        if fast is not None:
            try:
                return fast(*arguments)
            except (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError) as error:
                first = str(error).strip().partition("\n")[0][:200]
                warnings.warn(f"scoring goes on uncompiled: {first}", RuntimeWarning, stacklevel=2)
                fast = None
        return score(*arguments)

    return call
