"""One run of the whole pipeline on tiny budgets, which all tests and all test processes share."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import CHECKOUT
from tests.sharing import made_once
from tests.smoke import SMOKE_PARAMS, change_params, copy_checkout, dvc, hide_studies, side_by_side


def run_pipeline(checkout: Path) -> None:
    copy_checkout(checkout, SMOKE_PARAMS)
    hide_studies(checkout)
    side_by_side(checkout)  # that `dvc repro` comes to the same, in new processes too, is tested in test_pipeline.py


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without studies in which the whole pipeline has run once, only to be looked at."""
    return made_once(tmp_path_factory, "smoke", run_pipeline)


@pytest.fixture
def own_smoke(smoke: Path, tmp_path: Path) -> Path:
    """A copy of it, with the studies, for a test to change."""
    shutil.copytree(smoke, tmp_path / "smoke", symlinks=True)
    shutil.copy2(CHECKOUT / ".dvcignore", tmp_path / "smoke")
    return tmp_path / "smoke"


@pytest.fixture
def changed(own_smoke: Path) -> Callable[[dict[str, Any]], Path]:
    """Changes the params of the copy."""
    hide_studies(own_smoke)

    def change(overrides: dict[str, Any]) -> Path:
        change_params(own_smoke, overrides)
        return own_smoke

    return change


@pytest.fixture(scope="module")
def dry_run(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], str]:
    """What `dvc repro --dry` says of a copy of it with other params, which stays as it is."""
    checkout = Path(shutil.copytree(smoke, tmp_path_factory.mktemp("dry") / "smoke", symlinks=True))
    (checkout / "data/bases").mkdir()  # a dry run makes nothing, and a pretrained model's training asks for its base
    (checkout / "data/bases/adapted.json").touch()
    params = (checkout / "params.yaml").read_bytes()

    def run(overrides: dict[str, Any]) -> str:
        (checkout / "params.yaml").write_bytes(params)
        change_params(checkout, overrides)
        return dvc(checkout, "repro", "--dry").stdout

    return run
