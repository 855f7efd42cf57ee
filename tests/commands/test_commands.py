"""The command line: scoring two folders, and pooling the generators of several experiments."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.__main__ import main
from augury.commands.predictors import comparisons, distinct_trials
from augury.evidence.predictors import DIRECTIONS, Trial, predictors
from augury.images import extractor as features
from augury.pipeline.outputs import write_json
from augury.running.warm import warm_python
from tests import CHECKOUT
from tests.smoke import dvc


@pytest.fixture(autouse=True)
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "STORE", tmp_path / "store")


def write_images(folder: Path, count: int, seed: int, shape: tuple[int, ...] = (16, 16), striped: bool = False) -> Path:
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for row in range(count):
        image = random.integers(100, size=shape)
        if striped:
            image[:, ::4] += 150
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{row:03d}.png")
    return folder


def score(*arguments: str | Path) -> None:
    main(["score", *map(str, arguments), "--extractor", "efficientnet_lite0", "--device", "cpu"])


def test_two_folders_get_every_score_with_its_floor_and_its_n(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, generated = write_images(tmp_path / "real", 40, 0), write_images(tmp_path / "generated", 30, 1, striped=True)
    score(real, generated, "--json", tmp_path / "scores.json", "--resamples", "20", "--halvings", "2")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (scores["n_real"], scores["n_generated"], scores["n_per_side"]) == (40, 30, 20)
    assert scores["fd"] > 2 * scores["fd_floor"]
    assert scores["kid"] > 5 * scores["kid_se"]
    assert scores["fd_biased"]
    shown = capsys.readouterr().out
    assert "20 against 20 images, mean of 2 halvings" in shown
    assert f"FD[efficientnet_lite0] of the whole sets: {scores['fd_all']:.6g}" in shown
    assert "biased upwards below 2,560 images" in shown
    for name in ("KID", "precision", "recall", "density", "coverage", "at infinity"):
        assert name in shown


def test_the_whole_sets_distance_alone_takes_no_halves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, generated = write_images(tmp_path / "real", 5, 0), write_images(tmp_path / "generated", 3, 1)
    score(real, generated, "--whole", "--json", tmp_path / "whole.json")
    score(real, generated, "--json", tmp_path / "all.json", "--resamples", "20")
    whole, everything = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "all"))
    assert set(whole) == {"extractor", "dimensions", "n_real", "n_generated", "fd_all"}
    assert whole["fd_all"] == everything["fd_all"]
    # Halves of 2 and 3 images are too small for neighbours, and the line says so.
    assert everything["precision"] is None
    assert f"{'precision':<37}{'-':>12}{'-':>12}\n" in capsys.readouterr().out


def test_one_range_scales_both_folders(tmp_path: Path) -> None:
    """Of two folders of the same values, one has a brighter image, by which its own range would be another one."""
    for side, brightest in (("real", 4000), ("generated", 400)):
        (tmp_path / side).mkdir()
        for row, level in enumerate((100, 200, 300, brightest)):
            Image.fromarray(np.full((16, 16), level, np.uint16)).save(tmp_path / side / f"{row}.png")
    for intensity, same in (([], False), (["--intensity", "0", "350"], True)):
        score(tmp_path / "real", tmp_path / "generated", "--whole", "--json", tmp_path / "scores.json", *intensity)
        distance = json.loads((tmp_path / "scores.json").read_text())["fd_all"]
        assert (distance == pytest.approx(0, abs=1e-6)) == same


def test_identical_folders_are_at_no_distance(tmp_path: Path) -> None:
    real = write_images(tmp_path / "real", 12, 0)
    score(real, real, "--json", tmp_path / "scores.json", "--resamples", "20")
    assert json.loads((tmp_path / "scores.json").read_text())["fd_all"] == pytest.approx(0, abs=1e-6)


def test_classes_that_both_sides_have_are_scored_one_by_one(tmp_path: Path) -> None:
    for side, striped in (("real", False), ("generated", True)):
        write_images(tmp_path / side / "cat", 12, 0, (16, 16, 3))
        write_images(tmp_path / side / "dog", 12, 1, (20, 24, 3), striped)  # of another size and shape
    score(tmp_path / "real", tmp_path / "generated", "--json", tmp_path / "scores.json", "--resamples", "20")
    cat, dog = json.loads((tmp_path / "scores.json").read_text())["per_class"]
    assert (cat["class"], dog["class"], dog["n_per_side"]) == ("cat", "dog", 6)
    assert dog["fd"] > 2 * dog["fd_floor"]
    assert cat["fd"] < 1.5 * cat["fd_floor"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/absent", "{tmp}/one"], "score: {tmp}/absent: no such folder"),
        (["{tmp}/one", "{tmp}/one"], "score: found 1 real and 1 generated images, expected at least 2 of each"),
        (["{tmp}/two", "{tmp}/two"], "score: found 2 generated and 2 real images, which leave 1 a side"),
        (["{tmp}/two", "{tmp}/two", "--halvings", "0"], "score: --halvings: 0 is not possible; choose 1 or more"),
        (["{tmp}/two", "{tmp}/two", "--resamples", "0"], "score: --resamples: 0 is not possible; choose 20 or more"),
        (["{tmp}/two", "{tmp}/two", "--neighbours", "0"], "score: --neighbours: 0 is not possible; choose 1 or more"),
        (["{tmp}/two", "{tmp}/two", "--most-images", "0"], "score: --most-images: 0 is not possible; choose 4 or more"),
        (["{tmp}/two", "{tmp}/two", "--seed", "-1"], "score: --seed: -1 is not possible; choose 0 or more"),
        (
            ["{tmp}/two", "{tmp}/two", "--intensity", "400", "-100"],
            "score: --intensity: [400.0, -100.0]: expected the value of black, then a larger one of white",
        ),
        (["{tmp}/two", "{tmp}/two", "--extractor", "vgg"], "score: --extractor: unknown 'vgg'; choose from"),
        (
            ["{tmp}/two", "{tmp}/two", "--extractor", "inception={tmp}/none.pth"],
            "score: --extractor.inception.weights: {tmp}/none.pth: no such file",
        ),
    ],
)
def test_what_cannot_be_scored_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    write_images(tmp_path / "one", 1, 0)
    write_images(tmp_path / "two", 2, 0)
    filled = [argument.format(tmp=tmp_path) for argument in arguments]
    extractor = [] if "--extractor" in filled else ["--extractor", "efficientnet_lite0"]
    with pytest.raises(SystemExit) as stopped:
        main(["score", *filled, *extractor, "--device", "cpu"])
    assert str(stopped.value).startswith(message.format(tmp=tmp_path))
    assert "\n" not in str(stopped.value)


def comparison(**generators: tuple[float, float]) -> dict[str, Any]:
    """Generator -> its gain, and all its scores."""
    trials = [
        Trial(name, name, gain, {**dict.fromkeys(DIRECTIONS, score), "fid": None})
        for name, (gain, score) in generators.items()
    ]
    return {"predictors": predictors(trials, 0.95)}


def test_a_generator_that_two_runs_have_counts_once() -> None:
    runs = {
        "first": comparison(dcgan=(0.1, 2), vae=(0.2, 1)),
        "second": comparison(dcgan=(0.1, 2), vae=(0.3, 4)),  # the DCGAN was not trained again
        "third": comparison(),  # without an arm for it
    }
    trials = distinct_trials(runs)
    assert [(trial.name, trial.gain, trial.scores["kid"]) for trial in trials] == [
        ("dcgan (first)", 0.1, 2),
        ("vae (first)", 0.2, 1),
        ("vae (second)", 0.3, 4),
    ]


SCRIPT = """
import json, pathlib
from augury.evidence.predictors import DIRECTIONS, Trial, predictors
x = int(pathlib.Path("params.yaml").read_text().split(":")[1])
scores = {name: x * direction for name, direction in DIRECTIONS.items()}
pathlib.Path("data").mkdir(exist_ok=True)
found = predictors([Trial("dcgan", "dcgan", x / 100, scores)], 0.95)
pathlib.Path("data/comparison.json").write_text(json.dumps({"predictors": found}))
"""


def test_experiments_are_pooled(tmp_path: Path) -> None:
    """A pipeline of one stage that writes the comparison, swept with `dvc exp run -S`."""
    (tmp_path / "params.yaml").write_text("x: 1\n")
    (tmp_path / "stage.py").write_text(SCRIPT)
    command = f"PYTHONPATH={CHECKOUT} python -m stage"
    stage = {"cmd": command, "params": ["x"], "outs": ["data/comparison.json"]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"compare": stage}}))
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    dvc(tmp_path, "init", "--quiet")
    dvc(tmp_path, "config", "core.analytics", "false")
    dvc(tmp_path, "repro")
    subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "-m", "first"], cwd=tmp_path, check=True)
    for x in range(2, 7):
        dvc(tmp_path, "exp", "run", "-S", f"x={x}")
    shown = subprocess.run(
        [warm_python(), "-m", "augury", "predictors"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("6 generators over all runs: ")
    row = next(line for line in shown.stdout.splitlines() if line.startswith("kid"))
    assert row.split()[1:3] == ["6", "1.000"]  # a better score always went with a larger gain
    assert float(row.split()[3]) == pytest.approx(2 / 720, abs=5e-4)
    assert "too few" not in shown.stdout


def test_a_comparison_without_scores_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by a version that left them out, or with none at all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dvc.api.exp_show", lambda: [{"rev": "workspace"}])
    write_json(Path("data/comparison.json"), {"predictors": {"gains": {"dcgan": 0.1}}})
    assert comparisons() == {}
    write_json(Path("data/comparison.json"), comparison(dcgan=(0.1, 2)))
    assert list(comparisons()) == ["workspace"]


def test_without_any_run_there_is_nothing_to_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    dvc(tmp_path, "init", "--quiet")
    subprocess.run(
        ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "first"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"predictors: no run with data/comparison.json found"):
        main(["predictors"])


def test_predictors_outside_of_git_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an archive of the repository, without .git."""
    for name in ("params.yaml", "dvc.yaml", ".dvc/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((CHECKOUT / name).read_bytes())
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=rf"^predictors: {tmp_path} is not a git repository$"):
        main(["predictors"])


def test_what_git_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a checkout of another user, of which pygit2 says so with an error of its own."""

    def refuse() -> list[dict[str, str]]:
        raise ArithmeticError("the repository path\n'/x' is not owned by current user")

    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dvc.api.exp_show", refuse)
    with pytest.raises(SystemExit, match=r"^predictors: the repository path '/x' is not owned by current user$"):
        main(["predictors"])


@pytest.mark.parametrize("confidence", ["0", "1", "-0.5", "95", "nan"])
def test_a_confidence_that_is_none_is_one_line(
    confidence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        SystemExit, match=rf"^predictors: --confidence: {confidence} is not possible; choose a number b"
    ):
        main(["predictors", f"--confidence={confidence}"])
