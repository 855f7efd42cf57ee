"""What was computed of tensors before: a memory of pure functions, which costs nothing but time where it is deleted.

The arms of a seed differ in few images, and several ask for one and the same head: that without synthetic images, say.
"""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from augury.pipeline.outputs import kept, whole_file

STORE = Path(".cache/heads")

Tensors = tuple[torch.Tensor, ...]


def remembered(compute: Callable[..., Tensors], *inputs: torch.Tensor | float | None) -> Tensors:
    """`compute(*inputs)`, float32 tensors on the CPU, from the store or computed and stored.

    A file is named by a hash of the inputs, of compute's source, of torch's version and of the number of threads, by
    which sums are rounded.
    """
    key = hashlib.sha256(f"{torch.__version__}\n{torch.get_num_threads()}\n{inspect.getsource(compute)}".encode())
    for each in inputs:
        if isinstance(each, torch.Tensor):
            key.update(f"\n{each.dtype}{tuple(each.shape)}".encode())
            key.update(each.contiguous().view(torch.uint8).numpy().data)
        else:
            key.update(f"\n{each}".encode())
    path = STORE / f"{key.hexdigest()[:32]}.npz"
    if (stored := kept(path)) is not None:
        return tuple(map(torch.from_numpy, stored.values()))
    outputs = compute(*inputs)
    with whole_file(path, shared=True) as partial:
        np.savez(partial, *(each.numpy() for each in outputs))
    return outputs
