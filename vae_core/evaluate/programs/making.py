"""Makes a program: traced on tensors without numbers, compiled, held against the plain path, written to a file.

It is for a process of its own, beside the one that trains. Of the shapes D, K and R are the program's; images and
samples are any number."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from vae_core.evaluate.programs.kept import Kept, Program, leave_no_thread
from vae_core.evaluate.programs.kinds import DENSITY, Kind, state_of
from vae_core.numerics import progress
from vae_core.numerics.accelerators import accelerated
from vae_core.numerics.precision import full_float32

#: raw outputs that a program is made on: what it will see at a time decides which of a few kernels is fast
FLOATS = {True: 1 << 24, False: 1 << 12}
#: of them samples: as many as a tile has
SAMPLES = {True: 128, False: 3}


@full_float32()
def make(kind: Kind, which: str, kept: Kept, seed: int = 0) -> bool:
    """Makes a program and keeps it, unless there is one that does; whether it was made now.

    Raises Disagrees where it does not give the plain path's numbers, ValueError where the kind has none that could,
    OSError, and what torch's compiler raises."""
    if not kind.lawful:
        why = "is a stack" if kind.likelihood.models else "looks at its numbers to choose how exact it must be"
        raise ValueError(f"{kind.likelihood.name} {why}: it has no program")
    leave_no_thread()
    inputs = example_inputs(kind, which, seed)
    plain = flat_function(kind, which, inputs)
    name = kind.name(which)
    if kept.path(name).exists() and kept.carry_out(name, which, inputs, lambda: plain(*inputs)) is not None:
        return False
    with warnings.catch_warnings(), torch._inductor.config.patch(compile_threads=1):
        warnings.simplefilter("ignore")  # of a compiler, to people who did not ask for one
        graph = traced(kind, which, inputs)
        progress.made()
        artifact = torch._inductor.standalone_compile(graph, list(inputs), dynamic_shapes="from_graph")
    progress.made()
    with torch.no_grad():
        Program(artifact, which)(inputs, lambda: plain(*inputs))
    kept.put(name, lambda part: artifact.save(path=str(part), format="binary"))
    return True


def flat_function(kind: Kind, which: str, inputs: Sequence[Tensor]) -> Callable[..., list[Tensor]]:
    """The function of a program, of its inputs one after the other."""
    function, names = kind.function(which), list(state_of(kind.likelihood, inputs[-1]))

    def flat(*given: Tensor) -> list[Tensor]:
        state, rest = dict(zip(names, given, strict=False)), given[len(names) :]
        found: list[Tensor] = function(state, rest[0], rest[1] if len(rest) == 3 else None, rest[-1])
        return found

    return flat


def traced(kind: Kind, which: str, inputs: Sequence[Tensor]) -> GraphModule:
    """The function of a program as a graph of operators, whose images and samples are any number."""
    from torch._dispatch.python import enable_python_dispatcher
    from torch._dynamo.source import ConstantSource
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

    names = list(state_of(kind.likelihood, inputs[-1]))
    fake = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)  # of tables that a family keeps

    def shown(place: int, tensor: Tensor) -> Tensor:
        free = [DimDynamic.DUCK, DimDynamic.DUCK, DimDynamic.STATIC] if place == len(inputs) - 1 else [DimDynamic.DUCK]
        sizes = [*free, *[DimDynamic.STATIC] * tensor.ndim][: tensor.ndim] if place >= len(names) else []
        context: Any = StatelessSymbolicContext(dynamic_sizes=sizes or [DimDynamic.STATIC] * tensor.ndim)
        return fake.from_tensor(tensor, symbolic_context=context, source=ConstantSource(f"given_{place}"))

    fakes = [shown(place, tensor) for place, tensor in enumerate(inputs)]

    flat = flat_function(kind, which, inputs)
    with torch.no_grad(), fake, enable_python_dispatcher():
        graph: GraphModule = make_fx(flat, tracing_mode="real")(*fakes)
    return graph


def example_inputs(kind: Kind, which: str, seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs as a program takes them: as many images as make the raw outputs of a piece of a pass."""
    wide = accelerated(kind.device)
    width, samples = kind.likelihood.outputs(kind.dims), SAMPLES[wide]
    images = max(samples + 2, FLOATS[wide] // (width * samples))  # no two sizes by chance the same
    generator = torch.Generator().manual_seed(seed)
    k = torch.randint(kind.levels, (images, kind.dims), generator=generator)
    unit = (k + torch.rand(k.shape, generator=generator)) / kind.levels
    raw = torch.randn(images, samples, width, generator=generator)
    places = [k.to(kind.integers), unit] if DENSITY in kind.results_of(which) else [k.to(kind.integers)]
    on_device = [tensor.to(kind.device) for tensor in (*places, raw)]
    return (*state_of(kind.likelihood, on_device[-1]).values(), *on_device)
