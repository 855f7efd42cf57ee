"""Cards: what goes with a data set or a generator that leaves this project."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augury.params import Params


def dataset_card(
    params: Params,
    *,
    origin: str,
    class_names: Sequence[str],
    counts: Sequence[int],
    image_size: int,
    channels: int,
    layout: str,
    data_files: str | None,
    generation: Mapping[str, Any] | None = None,
    data: Path = Path("data"),
) -> str:
    raise NotImplementedError
