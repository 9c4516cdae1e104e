"""One computation run in the ways that save launching its kernels one by one: recorded as a CUDA graph, and compiled.

Which of them pays is not known without a card; each is held to what the plain call answers and timed beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tools.gpu_rows import DEVICE, milliseconds, report, skip

APART = 2e-2
"""Of the largest value: kernels that are fused round otherwise in half precision."""

Call = Callable[[Tensor], Tensor]


def ways(part: str, what: str, call: Call, given: Tensor) -> None:
    """Rows of the plain ``call`` of ``given``, of it as a CUDA graph, where there is a GPU, and compiled: the time of
    each, and how far its answer is from the plain one. On a CPU torch's compiler traces and compiles nothing."""
    plain = call(given)
    report(part, what, f"{milliseconds(lambda: call(given)):.2f} ms")
    for name, make in {"as a CUDA graph": recorded, "compiled": compiled}.items():
        if name == "as a CUDA graph" and DEVICE.type != "cuda":
            skip(part, f"{what}, {name}", "torch sees no GPU")
            continue
        try:
            way = make(call, given)
            apart = float((way(given) - plain).abs().max() / plain.abs().max())
            spent = milliseconds(lambda way=way: way(given))  # type: ignore[misc]
        except Exception as error:  # what waits for the CPU cannot be recorded, what is not torch's not compiled
            skip(part, f"{what}, {name}", f"{type(error).__name__}: {error}"[:200])
            continue
        report(part, f"{what}, {name}", f"{spent:.2f} ms, off by {apart:.0e}", f"{APART:.0e}", apart < APART)


def recorded(call: Call, given: Tensor) -> Call:
    """A CUDA graph of ``call`` of a copy of ``given``, which what it is called with is copied to."""
    own, side = given.clone(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # once before: what is allocated and chosen at a first call is no part of the graph
        call(own)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = call(own)

    def replayed(x: Tensor) -> Tensor:
        own.copy_(x)
        graph.replay()
        return answer

    return replayed


def compiled(call: Call, given: Tensor) -> Call:
    way: Call = torch.compile(call, backend="inductor" if DEVICE.type == "cuda" else "eager")
    way(given)
    return way
