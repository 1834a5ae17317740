"""Makes a program: traced on tensors without numbers, compiled, held against the plain path, written to a file.

It is for a process of its own, beside the one that trains. Which sizes are the program's, and which may be any number,
says its kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.fx import GraphModule

from vae_core.evaluate.programs.kept import Kept, Program, leave_no_thread
from vae_core.numerics import progress
from vae_core.numerics.precision import full_float32


class Made(Protocol):
    """What programs are made of: `kinds.Kind`, `steps.StepKind`."""

    #: whether no kernel is chosen by trying out which is fastest, for it would round otherwise in another process
    deterministic: ClassVar[bool]

    @property
    def refusal(self) -> str:
        """Why it has no program, "" where it has."""

    def name(self, program: str) -> str: ...

    def example(self, program: str, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs, of sizes that tell which of a few kernels is fast; no two that are free the same by chance."""

    def flat(self, program: str) -> Callable[..., list[Tensor]]:
        """Its function, of its inputs one after the other."""

    def free(self, program: str) -> Sequence[int]:
        """How many axes of each input, from the first on, have any size."""


@full_float32()
def make(kind: Made, which: str, kept: Kept, seed: int = 0) -> bool:
    """Makes a program and keeps it, unless there is one that does; whether it was made now.

    Raises Disagrees where it does not give the plain path's numbers, ValueError where the kind has none that could or
    that could be kept, OSError, and what torch's compiler raises."""
    if why := kind.refusal:
        raise ValueError(f"{why}: it has no program")
    leave_no_thread()
    inputs, plain, name = kind.example(which, seed), kind.flat(which), kind.name(which)
    if kept.path(name).exists() and kept.carry_out(name, which, inputs, lambda: plain(*inputs)) is not None:
        return False
    settings = {"compile_threads": 1, "deterministic": kind.deterministic}
    with warnings.catch_warnings(), torch._inductor.config.patch(settings):
        warnings.simplefilter("ignore")  # of a compiler, to people who did not ask for one
        graph = traced(kind, which, inputs)
        require_whole(graph, which)
        progress.made()
        artifact = torch._inductor.standalone_compile(graph, list(inputs), dynamic_shapes="from_graph")
    progress.made()
    with torch.no_grad():
        Program(artifact, which)(inputs, lambda: plain(*inputs))
    kept.put(name, lambda part: artifact.save(path=str(part), format="binary"))
    return True


def require_whole(graph: GraphModule, which: str) -> None:
    """Raises ValueError for a graph that holds tensors of its own, tables say: a file of it, read again, has lost them,
    and is called with too few inputs (torch 2.14)."""
    tables = [node.target for node in graph.graph.nodes if node.op == "get_attr"]
    if tables:
        raise ValueError(f"the program {which!r} holds {len(tables)} tables, which its file would lose")


def traced(kind: Made, which: str, inputs: Sequence[Tensor]) -> GraphModule:
    """The function of a program as a graph of operators, whose free sizes are any number."""
    from torch._dispatch.python import enable_python_dispatcher
    from torch._dynamo.source import ConstantSource
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

    fake = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)  # of tables that a family keeps

    def shown(place: int, tensor: Tensor, free: int) -> Tensor:
        sizes = [DimDynamic.DUCK] * free + [DimDynamic.STATIC] * (tensor.ndim - free)
        context: Any = StatelessSymbolicContext(dynamic_sizes=sizes)
        return fake.from_tensor(tensor, symbolic_context=context, source=ConstantSource(f"given_{place}"))

    fakes = [
        shown(place, tensor, free) for place, (tensor, free) in enumerate(zip(inputs, kind.free(which), strict=True))
    ]
    flat = kind.flat(which)
    with torch.no_grad(), fake, enable_python_dispatcher():
        graph: GraphModule = make_fx(flat, tracing_mode="real")(*fakes)
    return graph
