"""One computation run in the ways that save launching its kernels one by one: recorded as a CUDA graph, and compiled.

Which of them pays is not known without a card; each is held to what the plain call answers and timed beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tools.gpu_rows import DEVICE, milliseconds, report, skip

APART = 2e-2
"""Of the largest value: kernels that are fused round otherwise in half precision."""
TOKENS = 1024 if DEVICE.type == "cuda" else 64
"""On a GPU of eight views of an object that fills half of each crop; on a CPU to see that it runs."""

Call = Callable[[Tensor], Tensor]
Way = Callable[[Call, Tensor], Call]


def graphs() -> None:
    """The blocks of the shipped network: what surrounds them waits for the processor and cannot be recorded."""
    from mvgamba_ros.kernels.autocast import halve_weights, has_bfloat16
    from mvgamba_ros.model.checkpoint import load_checkpoint

    network = load_checkpoint()[0].to(DEVICE)
    half = has_bfloat16(DEVICE)
    if half:
        halve_weights(network)
    tokens = torch.randn(1, TOKENS, network.config.width, device=DEVICE)
    with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16, enabled=half, cache_enabled=False):
        ways(
            "graphs", f"the network's blocks, {TOKENS} tokens", nn.Sequential(*network.blocks), tokens, GRAPH | COMPILED
        )


def ways(part: str, what: str, call: Call, given: Tensor, others: Mapping[str, Way]) -> None:
    """Rows of the plain ``call`` of ``given`` and of its ``others``: the time of each, and how far its answer is from
    the plain one."""
    plain = call(given)
    report(part, what, f"{milliseconds(lambda: call(given)):.2f} ms")
    for name, make in others.items():
        if make is recorded and DEVICE.type != "cuda":
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
    """By torch.compile, the layers of a sequence one by one: of layers that are alike one is compiled. On a CPU torch's
    compiler traces and compiles nothing."""
    backend = "inductor" if DEVICE.type == "cuda" else "eager"
    layers = list(call) if isinstance(call, nn.Sequential) else [call]
    made = [torch.compile(layer, backend=backend) for layer in layers]

    def way(x: Tensor) -> Tensor:
        for layer in made:
            x = layer(x)
        return x

    way(given)
    return way


GRAPH: dict[str, Way] = {"as a CUDA graph": recorded}
COMPILED: dict[str, Way] = {"compiled": compiled}
