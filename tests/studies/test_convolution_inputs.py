"""Bad input to the study of convolutions: one clear line that names the key or the folder, and nothing written."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE
from studies.convolution import ablate, fit, look
from studies.convolution.settings import Convolution
from studies.convolution.variants import PLAIN
from studies.workspace import settings
from tests.studies.test_convolution_study import STUDY, make_root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    make_root(folder)
    return folder


# Params.


@pytest.mark.parametrize(
    ("section", "changed", "message"),
    [
        ("classifiers", {"lenet6": {"pretrained": False, "resolution": 32}}, r"^classifiers: unknown 'lenet6'; choose"),
        ("classifiers", {"Le Net": {"pretrained": False, "resolution": 32}}, r"^classifiers\.Le Net"),
        (
            "classifiers",
            {"lenet5": {"pretrained": True, "resolution": 32}},
            r"^classifiers\.lenet5\.pretrained: lenet5 has no pretrained weights; set it to false",
        ),
        ("classifiers", {"lenet5": {"pretrained": False, "resolution": 0}}, r"^classifiers\.lenet5\.resolution: 0"),
        ("classifiers", {"lenet5": {"pretrained": False}}, r"^classifiers\.lenet5\.resolution: missing"),
        (
            "classifiers",
            {"lenet5": {"pretrained": False, "resolution": 32, "pixels": 32}},
            r"^classifiers\.lenet5\.pixels: unknown key; choose from pretrained, resolution",
        ),
        ("training", {"steps": 0}, r"^training\.steps: 0"),
        ("training", {"batch_size": 1}, r"^training\.batch_size: 1"),
        ("training", {"warmup": 1.0}, r"^training\.warmup: 1"),
        ("training", {"stesp": 3}, r"^training\.stesp: unknown key; choose from steps, batch_size"),
        ("look", {"image": -1}, r"^look\.image: -1"),
        ("look", {"levels": 1}, r"^look\.levels: 1"),
        ("look", {"step_size": 0}, r"^look\.step_size: 0"),
        ("ablation", {"resolution": 7}, r"^ablation\.resolution: 7"),
        ("ablation", {"seeds": [1, 1]}, r"^ablation\.seeds: \[1, 1\]: holds a value twice"),
        ("ablation", {"seeds": [1]}, r"^ablation\.seeds: \[1\].*at least 2"),
        ("arithmetic", {"sizes": []}, r"^arithmetic\.sizes: \[\]"),
        ("arithmetic", {"kernels": []}, r"^arithmetic\.kernels: \[\]"),
        ("arithmetic", {"paddings": []}, r"^arithmetic\.paddings: \[\]"),
        ("arithmetic", {"paddings": [0, -1]}, r"^arithmetic\.paddings\.1: -1"),
        ("arithmetic", {"dilations": [0]}, r"^arithmetic\.dilations\.0: 0"),
        ("arithmetic", {"stride": [1]}, r"^arithmetic\.stride: unknown key; choose from sizes, kernels, strides"),
    ],
)
def test_a_faulty_key_is_one_clear_line(section: str, changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY | {section: STUDY[section] | changed})
    with pytest.raises(UserError, match=message) as raised:
        settings(Convolution, tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_a_study_of_no_classifier_is_one_clear_line(tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY | {"classifiers": {}})
    with pytest.raises(UserError, match=r"^classifiers: \{\}.*at least 1") as raised:
        settings(Convolution, tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_the_params_of_the_tests_are_valid(tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY)
    assert settings(Convolution, tmp_path).model_dump() == STUDY


# A classifier that cannot be had.


def failing_fit(name: str, classifier: dict[str, Any], root: Path, tmp_path: Path) -> str:
    write_json(tmp_path / PARAMS_FILE, STUDY | {"classifiers": {"small_cnn": STUDY["classifiers"]["small_cnn"], name:
               classifier}})  # fmt: skip
    with pytest.raises(UserError) as raised:
        fit.main(name, tmp_path, root)
    assert not (tmp_path / "points").exists()
    (line,) = str(raised.value).splitlines()
    return line


def test_a_resolution_that_is_too_small_names_the_key_of_this_study(root: Path, tmp_path: Path) -> None:
    line = failing_fit("lenet5", {"pretrained": False, "resolution": 31}, root, tmp_path)
    assert line == "classifiers.lenet5.resolution: 31 is below 32, the least that lenet5 takes"


def test_weights_that_cannot_be_had_name_the_key_of_this_study(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    line = failing_fit("resnet18", {"pretrained": True, "resolution": 32}, root, tmp_path)
    assert line.startswith("classifiers: resnet18: weights not in torch's cache")
    assert line.endswith("set classifiers.resnet18.pretrained: false to start from random ones")
    assert "no route to host" in line


def test_a_classifier_that_is_not_among_the_params_is_one_clear_line(root: Path, tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY)
    with pytest.raises(UserError, match=r"^classifiers: unknown 'resnet18'; choose from small_cnn, eff"):
        fit.main("resnet18", tmp_path, root)


# What a step finds.


@pytest.fixture(scope="module")
def fitted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    write_json(folder / PARAMS_FILE, STUDY)
    for name in STUDY["classifiers"]:
        fit.main(name, folder, root)
    return folder


@pytest.fixture
def copy(fitted: Path, tmp_path: Path) -> Path:
    """A study whose classifiers are fitted."""
    return shutil.copytree(fitted, tmp_path / "study")


def failing_look(copy: Path, root: Path) -> str:
    with pytest.raises(UserError) as raised:
        look.main("small_cnn", copy, root)
    assert not list(copy.glob("points/look/*"))
    (line,) = str(raised.value).splitlines()
    return line


def test_an_image_that_is_not_there_is_one_clear_line(copy: Path, root: Path) -> None:
    write_json(copy / PARAMS_FILE, STUDY | {"look": STUDY["look"] | {"image": 18}})
    assert failing_look(copy, root) == "look.image: 18 is not among the 18 images of validation, from 0 on"


def test_a_resolution_that_leaves_no_second_map_is_one_clear_line(copy: Path, root: Path) -> None:
    path = copy / "points/fit/small_cnn/config.json"
    write_json(path, read_json(path) | {"resolution": 3})
    assert failing_look(copy, root) == (
        "classifiers.small_cnn.resolution: at 3 pixels the map of stage 2 has one position, or none; choose more pixels"
    )


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"no such thing"])
def test_a_damaged_classifier_is_one_clear_line(copy: Path, root: Path, name: str, content: bytes | None) -> None:
    folder = copy / "points/fit/small_cnn"
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    line = failing_look(copy, root)
    assert line.startswith(f"{folder}: not a fitted classifier (")
    assert line.endswith("; run `dvc repro` to make it")


def test_weights_of_another_classifier_are_one_clear_line(copy: Path, root: Path) -> None:
    shutil.copy2(copy / "points/fit/efficientnet_lite0/weights.safetensors", copy / "points/fit/small_cnn")
    assert "not a fitted classifier" in failing_look(copy, root)


def test_an_unknown_variant_is_one_clear_line(copy: Path, root: Path) -> None:
    with pytest.raises(UserError, match=r"^variant: unknown 'wide'; choose from plain, average, strided, dilated"):
        ablate.main("wide", copy, root)


def test_a_rate_that_is_too_high_is_one_clear_line_that_names_the_key(root: Path, tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY | {"training": STUDY["training"] | {"learning_rate": 1e30}})
    for step in (lambda: fit.main("small_cnn", tmp_path, root), lambda: ablate.main(PLAIN, tmp_path, root)):
        with pytest.raises(UserError, match=r"^training\.learning_rate: 1e\+30 is too high"):
            step()
