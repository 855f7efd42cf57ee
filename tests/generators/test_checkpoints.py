"""Which code a checkpoint depends on. What starts afresh, and what goes on, is in test_training_run.py."""

from pathlib import Path

import pytest

from augury.generators.checkpoints import code_of
from tests import CHECKOUT


@pytest.mark.parametrize("section", ["train_gan.dcgan", "train_vae", "train_diffusion"])
def test_a_checkpoint_depends_on_the_stage_and_all_that_it_imports(section: str) -> None:
    code = code_of(section)
    assert all((CHECKOUT / path).is_file() for path in code)
    rooms = {path.parts[:-1] for path in code}
    assert {("stages",), ("models",), ("augury", "generators"), ("augury", "images"), ("augury", "pipeline")} <= rooms
    assert [path for path in code if path.parts[0] == "stages" and path.stem != "__init__"] == [
        Path("stages") / f"{section.partition('.')[0]}.py"
    ]


def test_without_a_stage_of_its_name_it_depends_on_what_a_run_imports() -> None:
    code = code_of("demo")
    assert Path("augury/generators/training_run.py") in code
    assert Path("augury/generators/checkpoints.py") in code
    assert not [path for path in code if path.parts[0] == "stages"]
