"""Inventory: packages against their pins, weights where they are looked for, the DVC repository and its remotes."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch

from augury.pipeline.sections import Augment
from augury.pipeline.trainings import TrainPretrained
from augury.preflight.inventory import (
    Finding,
    bases,
    packages,
    python_version,
    read_pins,
    repository,
    sam_weights,
    weights,
)
from tests import CHECKOUT
from tests.bases import base_folder


def test_every_pin_of_the_project_is_read() -> None:
    pins = read_pins(CHECKOUT / "requirements.txt")
    assert pins["torch"].startswith("2.")
    assert "#" not in " ".join([*pins, *pins.values()])
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    assert len(pins) == sum("==" in line for line in lines)


def test_packages_are_as_pinned_or_of_another_version_or_missing(tmp_path: Path) -> None:
    numpy, pillow = (importlib.metadata.version(name) for name in ("numpy", "pillow"))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# pins\nnumpy=={numpy}\npillow[extra]==1.0  # old\nno-such-package==3.1\n")
    other, missing, rest = packages(requirements)
    assert (other.name, other.problem) == ("pillow", None)
    assert f"{pillow}, 1.0 pinned" in other.text
    assert (missing.name, missing.there) == ("no-such-package", False)
    assert missing.problem is not None
    assert "package no-such-package is missing: pip install" in missing.problem
    assert rest.text == f"the other 1 of {requirements} as pinned"
    requirements.write_text(f"numpy=={numpy}\n")
    assert [finding.text for finding in packages(requirements)] == [f"all of {requirements} as pinned"]


def test_without_a_list_of_pins_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    (finding,) = packages(tmp_path / "requirements.txt")
    assert finding.there
    assert str(finding.problem).endswith("requirements.txt: No such file or directory; run this in the checkout")


def test_a_python_that_is_not_tested_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_version().problem is None
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert python_version().problem == "Python 3.9.1: 3.11 to 3.13 needed; make PYTHON=python3.11 repro"


def test_weights_that_are_not_there_are_said_and_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    wanted = {"efficientnet_lite0": "auto", "random_cnn": "auto", "inception": "auto", "dinov2_small": "auto"}
    package, inception, dinov2, resnet = weights(wanted, "resnet18")
    assert package.there
    assert Path(package.text).is_file()
    for finding, words in ((inception, "no FID,"), (dinov2, "no FD[dinov2_small],"), (resnet, "without them it fails")):
        assert not finding.there
        assert finding.problem is None
        assert words in finding.text
    assert str(tmp_path / "checkpoints/pt_inception-2015-12-05-6726825d.pth") in inception.text


def test_dinov2_is_looked_for_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    missing = weights({}, None)[1]
    assert (missing.name, missing.there, missing.problem) == ("dinov2_small", False, None)
    assert missing.text.endswith("; not asked for in score.extractors")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "/cache/model.safetensors")
    assert weights({}, None)[1].text == "/cache/model.safetensors; not asked for in score.extractors"


def test_weights_that_are_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints/pt_inception-2015-12-05-6726825d.pth"
    file.parent.mkdir()
    file.touch()
    _, inception, own, off = weights({"inception": "auto", "dinov2_small": str(file), "dinov2_large": "off"}, None)
    assert (inception.there, inception.text) == (True, str(file))
    assert (own.there, own.text) == (True, str(file))
    assert (off.there, off.problem) == (False, None)


def test_weights_that_cannot_be_had_are_problems() -> None:
    _, file, _, backbone = weights({"inception": "none.pth"}, "small_cnn")
    assert file.problem == "score.extractors.inception.weights: none.pth: no such file"
    assert backbone.problem == "classify.pretrained: small_cnn has no pretrained weights; set it to false"
    assert "unknown 'resnet'; choose from" in str(weights({}, "resnet")[-1].problem)


def test_the_sam_of_a_policy_is_looked_for(tmp_path: Path) -> None:
    def findings(**kwargs: str) -> list[Finding]:
        swap = {"name": "BackgroundSwap", "kwargs": kwargs}
        plain = {"name": "HorizontalFlip"}
        return sam_weights(Augment.model_validate({"copies": 1, "policies": {"plain": [plain], "swap": [swap, plain]}}))

    assert findings(masks="grabcut") == []
    for nothing in ({}, {"weights": " "}):
        [missing] = findings(masks="sam", **nothing)
        assert str(missing.problem).startswith("augment.policies.swap: masks: sam: needs weights: a folder, or an id")
    [missing] = findings(masks="sam", weights=str(tmp_path))
    problem = f"augment.policies.swap: masks: sam: weights: {tmp_path}: no config.json, model.safetensors in it"
    assert missing == Finding("sam", "missing", problem, there=False)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    assert findings(masks="sam", weights=str(tmp_path)) == [Finding("sam", str(tmp_path))]


def make_repository(folder: Path, config: str = "") -> Path:
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text(config)
    (folder / "dvc.yaml").touch()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def test_a_repository_says_where_results_would_be_pushed(tmp_path: Path) -> None:
    own, remote = repository(make_repository(tmp_path / "alone"))
    assert own.text == str(tmp_path / "alone")
    assert remote.text.startswith("none, thus results stay here")
    storage = "['remote \"storage\"']\n    url = /mnt/storage\n"
    _, remote = repository(make_repository(tmp_path / "shared", f"[core]\n    remote = storage\n{storage}"))
    assert remote.text == "storage: /mnt/storage"
    _, remote = repository(make_repository(tmp_path / "undecided", storage))
    assert remote.text.startswith("storage, but no default")


def test_without_git_dvc_does_nothing(tmp_path: Path) -> None:
    """As in an archive of the checkout that was downloaded and unpacked; unless it is told to do without."""
    folder = make_repository(tmp_path / "unpacked")
    shutil.rmtree(folder / ".git")
    finding = repository(folder)[0]
    assert finding.problem == f"no git repository in {folder}, and DVC does nothing without: run git init there"
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    assert repository(folder)[0].problem is None
    (folder / ".dvc/config").write_text("")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)  # of a repository above it DVC is content
    assert repository(folder)[0].problem is None


def test_what_is_no_repository_is_a_problem(tmp_path: Path) -> None:
    assert "no DVC repository in" in str(repository(tmp_path)[0].problem)
    (make_repository(tmp_path / "empty") / "dvc.yaml").unlink()
    assert "no dvc.yaml, thus no pipeline" in str(repository(tmp_path / "empty")[0].problem)
    damaged = repository(make_repository(tmp_path / "damaged", "[core\n"))[0]
    assert str(damaged.problem).startswith(".dvc/config: ")
    assert "\n" not in str(damaged.problem)


def test_a_pretrained_model_is_there_or_what_is_wrong_with_it_is_said(tmp_path: Path) -> None:
    there, gone = (
        TrainPretrained(base=str(folder), base_licence="mit") for folder in (base_folder("sd"), tmp_path / "gone")
    )
    found, missing = bases({"there": there, "gone": gone})
    assert (found.text, found.problem) == (f"{there.base}: StableDiffusionPipeline", None)
    assert (missing.there, missing.text) == (False, f"{gone.base}, which cannot be used")
    assert str(missing.problem).startswith(f"train_pretrained.gone.base: {gone.base}: no such folder; ")
