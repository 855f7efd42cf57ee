"""Sources of labelled images; what their tests share."""

from pathlib import Path
from typing import Any

from augury.pipeline import params
from augury.pipeline.preparing import Prepare
from augury.sources.raw_images import RawImages
from augury.sources.registry import read_source
from tests import CHECKOUT


def prepare_section(**changes: Any) -> Prepare:
    section = params.load(CHECKOUT / "params.yaml").prepare
    return Prepare.model_validate({**section.model_dump(), **changes})


def read_folder(source: str, folder: Path, **changes: Any) -> RawImages:
    return read_source(prepare_section(**{"source": source, "folder": str(folder), "image_size": 8, **changes}))
