"""What makes the host wait for a device, counted on the meta device, which needs no GPU."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for the device: copies between them, and values read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Mapping[str, Any] | None = None
    ) -> Any:
        name = function._schema.name.partition("::")[2]
        self.found.update([name] if name == "_local_scalar_dense" else [])  # which raises here
        result = function(*arguments, **(options or {}))
        devices = {tensor.device.type for tensor in _tensors((arguments, result)) if tensor.ndim or "copy" in name}
        if len(devices) > 1 and ("copy" in name or name.startswith("index")):
            self.found[name] += 1
        return result


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


def stand_still(self: torch.optim.Optimizer) -> None:
    """In place of a fused step, which needs a real device."""


stand_still.hooked = True  # type: ignore[attr-defined]  # else torch wraps it, and leaves that in the class for ever
