"""What memory layouts cost a training on a CPU: `python -m benchmarks.layouts`, about half a minute.

Each training makes some steps on noise, with the networks and batches of params.yaml, on one thread. An operation on
tensors of several layouts (channels-last beside the default) is up to thirty times slower than on those of one, and
group normalisation in bfloat16 is twenty times slower in channels-last. Bar: 10% of a step's CPU time in those.
Copies from one layout to the other are told apart. Convolutions do not count: they copy what comes in another layout
by themselves, and that of their weights costs nothing.
"""

import heapq
import importlib
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from augury.generators import training_run
from augury.generators.pace import Pace
from augury.pipeline import params
from augury.pipeline.process import one_line_errors
from augury.pipeline.profiles import lay_over
from augury.preflight.trial import lay_out

CLASSES = 10
WARMUP, TIMED, WATCHED = 3, 12, 4  # steps; the optimiser's first one makes its moments
BAR = 0.1
PIXELS = {"space": "pixel", "width": 16, "depth": 1, "guidance": 1.5, "sampling_steps": 4}
TRAININGS: dict[str, tuple[str, tuple[str, ...], Mapping[str, Any]]] = {  # name -> stage, entry, params laid over
    "dcgan": ("train_gan", ("dcgan",), {}),
    "stylegan": ("train_gan", ("stylegan",), {}),
    "vae": ("train_vae", (), {}),
    "pixel diffusion": ("train_diffusion", (), {"train_diffusion": {"network": PIXELS, "batch_size": 64}}),
}
COPIES = {"clone", "_to_copy", "copy_"}


def layout(tensor: torch.Tensor) -> str | None:
    """default, channels_last or other; None where there is but one, as for anything but (N, C, H, W)."""
    if tensor.dim() != 4:
        return None
    default, last = tensor.is_contiguous(), tensor.is_contiguous(memory_format=torch.channels_last)
    if default and last:
        return None
    return "default" if default else "channels_last" if last else "other"


class Layouts(TorchDispatchMode):
    """Watches operations. `seconds`: their CPU time by what they do about layouts: "mixed", "copies" or "fitting".

    `slow`: that of the mixed ones by name, shape and layouts. smallest: values of a tensor, below which it does not
    count.
    """

    def __init__(self, smallest: int = 20_000) -> None:
        super().__init__()
        self.smallest = smallest
        self.seconds, self.slow = defaultdict[str, float](float), defaultdict[str, float](float)

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        started = time.process_time()
        result = operation(*args, **(kwargs or {}))
        seconds = time.process_time() - started
        if not operation.is_view:
            name = operation._schema.name.removeprefix("aten::")
            tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)]
            large = [each for each in tensors if each.numel() >= self.smallest and layout(each) is not None]
            layouts = [str(layout(each)) for each in large]
            crawling = name.startswith("native_group_norm") and "channels_last" in layouts
            kind = "fitting"
            if (len({*layouts}) > 1 or crawling) and not name.startswith("convolution"):
                kind = "copies" if name in COPIES else "mixed"
            self.seconds[kind] += seconds
            if kind == "mixed":
                self.slow[f"{name} {tuple(large[0].shape)}: {', '.join(layouts)}"] += seconds
        return result


class EnoughError(Exception):
    """The end of a training that has been watched. Its arguments: CPU seconds of each step, and `Layouts` of others."""


class Watch(Pace):
    """Measures some steps of a training, watches some others, then ends it by EnoughError."""

    _step = 0

    @contextmanager
    def step(self) -> Iterator[None]:
        if self._step == 0:
            self._taken, self._layouts = list[float](), Layouts()
        started = time.process_time()
        if self._step < WARMUP + TIMED:
            yield
            self._taken.append(time.process_time() - started)
        else:
            with self._layouts:
                yield
        self._step += 1
        if self._step == WARMUP + TIMED + WATCHED:
            raise EnoughError(self._taken[WARMUP:], self._layouts)


def watch(name: str, channels: int = 1) -> tuple[list[float], Layouts]:
    """Begin a training, one of TRAININGS, on noise: the CPU seconds of some steps, and what was watched in others."""
    stage, entry, changes = TRAININGS[name]
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), params.load(), CLASSES, channels)
        lay_over(Path(folder) / params.PARAMS_FILE, {"device": "cpu", **changes})
        before, training_run.Pace = training_run.Pace, Watch  # type: ignore[misc]
        try:
            with chdir(folder):
                importlib.import_module(f"stages.{stage}").main(params.load(), *entry)
        except EnoughError as end:
            return end.args[0], end.args[1]
        finally:
            training_run.Pace = before  # type: ignore[misc]
    raise AssertionError(f"{name} ended by itself")


def main() -> None:
    torch.set_num_threads(1)
    for name in TRAININGS:
        taken, layouts = watch(name)
        shares = {kind: seconds / sum(layouts.seconds.values()) for kind, seconds in layouts.seconds.items()}
        print(
            f"{name}: CPU time of a step {min(taken) * 1e3:.0f} ms, median {statistics.median(taken) * 1e3:.0f}; "
            f"{shares['mixed']:.0%} in mixed layouts (bar {BAR:.0%}), {shares['copies']:.0%} in copies to another"
        )
        for operation, seconds in heapq.nlargest(5, layouts.slow.items(), key=itemgetter(1)):
            print(f"    {seconds / WATCHED * 1e3:.2f} ms in {operation}")


if __name__ == "__main__":
    with one_line_errors("layouts"):
        main()
