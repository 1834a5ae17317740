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

from vae_core.evaluate.programs.kept import Kept, Program, leave_no_thread, write
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

    Raises Disagrees where it does not give the plain path's numbers, ValueError where the kind has none that could,
    OSError, and what torch's compiler raises."""
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
        tables = lifted(graph)
        progress.made()
        artifact = torch._inductor.standalone_compile(graph, [*inputs, *tables], dynamic_shapes="from_graph")
    progress.made()
    with torch.no_grad():
        Program(artifact, which, tables)(inputs, lambda: plain(*inputs))
    kept.put(name, lambda part: write(artifact, tables, part))
    return True


def lifted(graph: GraphModule) -> list[Tensor]:
    """Makes inputs, after the others, of the tensors that a graph holds, tables of a family say, and gives them: a file
    of a compiled graph has lost those that are none (torch 2.14)."""
    nodes = list(graph.graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder"]
    mode, last = inputs[0].meta["val"].fake_mode, inputs[-1]
    tables: dict[str, Tensor] = {}
    places: dict[str, Any] = {}
    for node in nodes:
        if node.op != "get_attr":
            continue
        if node.target not in tables:
            tables[node.target] = getattr(graph, node.target)
            with graph.graph.inserting_after(last):
                last = places[node.target] = graph.graph.placeholder(f"table_{len(places)}")
            last.meta["val"] = mode.from_tensor(tables[node.target], static_shapes=True)
        node.replace_all_uses_with(places[node.target])
        graph.graph.erase_node(node)
    for name in tables:
        delattr(graph, name)
    graph.recompile()
    return list(tables.values())


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
