"""A training step, made as it stands or recorded once as a CUDA graph and replayed.

On a GPU, networks as small as these spend a step on launching a thousand kernels one by one. A graph launches them all
at once: the same kernels in the same order, so that the bytes are those of the step as it stands.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from models.draws import Draws

Step = Callable[..., Mapping[str, torch.Tensor]]
WARM_UP = 3  # steps before recording, in which libraries choose algorithms and optimisers make their state


class Stepper:
    """Calls `step(draws, **told)`, which updates `state` in place and returns its losses, scalars by name.

    A step takes random numbers from `draws` alone, reads from tensors that stay where they are, and never waits for the
    device. What it is told differs between steps: bools choose what is done (a penalty that is due), floats are handed
    over as scalar tensors. recorded: use graphs, one for each choice; for a single process on a GPU.
    """

    def __init__(self, step: Step, state: Iterable[Any], device: torch.device, *, recorded: bool) -> None:
        self.step, self.state, self.device, self.recorded = step, tuple(state), device, recorded
        self._numbers: dict[str, torch.Tensor] = {}
        self._variants: dict[tuple[tuple[str, bool], ...], _Variant] = {}
        self._stream: Any = None  # on which steps are recorded, all of them, as gradients remember it
        self._pool: Any = None

    def __call__(self, seed: int, **told: bool | float) -> Mapping[str, torch.Tensor]:
        """Make one step; all that is drawn in it depends on `seed`. The losses are to be copied before the next one."""
        choices = {key: value for key, value in told.items() if isinstance(value, bool)}
        for key in told.keys() - choices.keys():
            self._numbers.setdefault(key, torch.zeros((), device=self.device)).fill_(told[key])
        way = tuple(sorted(choices.items()))
        if way not in self._variants:
            self._variants[way] = self._prepare(choices)
        variant = self._variants[way]
        variant.draws.renew(seed)
        if variant.graph is None:
            return self._made(variant.draws, choices)
        variant.graph.replay()
        return variant.losses

    def _made(self, draws: Draws, choices: Mapping[str, bool]) -> dict[str, torch.Tensor]:
        """The losses of a step, and nothing that would keep alive what its gradients came from."""
        return {key: loss.detach() for key, loss in self.step(draws, **choices, **self._numbers).items()}

    def _prepare(self, choices: Mapping[str, bool]) -> "_Variant":
        """Measure what a step draws, and record it; the state is afterwards what it was before."""
        variant = _Variant(Draws(self.device))

        def rehearse() -> None:
            variant.draws.rewind()
            self._made(variant.draws, choices)

        if not self.recorded:
            self._undone(rehearse)
            variant.draws.fix()
            return variant
        stream = self._stream = self._stream or torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*capturable=True.*")  # of optimisers, while not yet recorded

            def warm_up() -> None:
                rehearse()
                variant.draws.fix()
                for _ in range(WARM_UP - 1):
                    rehearse()

            self._undone(warm_up)
        torch.cuda.current_stream().wait_stream(stream)
        variant.draws.rewind()
        variant.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(variant.graph, pool=self._pool, stream=stream):  # records, and computes nothing
            variant.losses = self._made(variant.draws, choices)
        self._pool = variant.graph.pool()
        return variant

    def _undone(self, work: Callable[[], None]) -> None:
        """Do `work` and put the state back in place; what did not exist before (Adam's moments) ends as zeros."""
        before = [(tensor, tensor.detach().clone()) for tensor in _tensors_of(self.state)]
        work()
        with torch.no_grad():
            known = {id(tensor) for tensor, _ in before}
            for tensor in _tensors_of(self.state):
                if id(tensor) not in known:
                    tensor.zero_()
            for tensor, value in before:
                tensor.copy_(value)


class _Variant:
    """One way in which a step is made."""

    graph: Any = None  # torch.cuda.CUDAGraph
    losses: Mapping[str, torch.Tensor]  # where the graph writes them

    def __init__(self, draws: Draws) -> None:
        self.draws = draws


def _tensors_of(parts: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors that modules and optimisers are made of: themselves, and not copies."""
    found: list[torch.Tensor] = []
    for part in parts:
        if isinstance(part, nn.Module):
            found += [*part.parameters(), *part.buffers()]
        else:
            found += [value for of_one in part.state.values() for value in of_one.values() if torch.is_tensor(value)]
    return found
