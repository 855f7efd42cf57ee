"""The whole pipeline on tiny data and budgets, in a temporary copy of the checkout: `make smoke`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from augury.pipeline.profiles import lay_over
from augury.running.warm import warm_environment, warm_python
from tests import CHECKOUT

# scikit-learn's digits need no network. Everything is there, only smaller.
TRAINING = {"total_kimg": 4.0, "snapshot_every_kimg": 1.0, "ema_halflife_kimg": 0.1}
SHORT = {**TRAINING, "total_kimg": 2.0}
SMOKE_PARAMS: dict[str, Any] = {
    "prepare": {"source": "digits", "image_size": 8, "labels_per_class": 20, "test_fraction": 0.1},
    "augment": {"copies": 2},
    "train_gan": {
        "dcgan": {**TRAINING, "network": {"latent_size": 16, "width": 16}, "learning_rate": 0.005},
        "stylegan": {
            **SHORT, "network": {"latent_size": 16, "style_size": 16, "width": 16}, "batch_size": 32,
        },
    },
    "train_vae": {**SHORT, "warmup_kimg": 0.5, "network": {"latent_size": 8, "width": 16}},
    "train_diffusion": {**SHORT, "network": {"width": 32, "depth": 2, "sampling_steps": 5}, "batch_size": 64},
    "sample": {"per_class": 20, "filter": {"min_confidence": 0.0, "max_draws": 2.0}},
    "score": {
        "extractors": {"efficientnet_lite0": {"resolution": 32}, "inception": {"weights": "off"}},
        "halvings": 2,
        "resamples": 20,
    },
    "classify": {
        "resolution": 32,
        "head": {"steps": 40, "batch_size": 32, "learning_rate": 0.002, "l2_penalties": [0.03, 0.3]},
        "finetune": {"steps": 6, "batch_size": 16},
        "mix": {"copies": 1},
        "folds": 3,
        "synthetic_weight": [0, 0.3, 1],
        "seeds": [0, 1, 2, 3],
        "arms": {"larger": {"resolution": 40}, "larger+all": {"resolution": 40}},
    },
    "compare": {"resamples": 100},
}  # fmt: skip


def copy_checkout(destination: Path, overrides: dict[str, Any]) -> None:
    """Copy the files that git tracks or would track, with `overrides` laid over params.yaml, as a DVC repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (CHECKOUT / name).is_file():  # not one that was deleted and is still in the index
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, destination / name)
    (destination / "dvc.lock").unlink(missing_ok=True)  # of the default run
    change_params(destination, overrides)
    subprocess.run(["git", "init", "--quiet"], cwd=destination, check=True)


def hide_studies(checkout: Path) -> None:
    """Have DVC pass over the studies of a checkout: to read their files takes every command of it half a second."""
    with (checkout / ".dvcignore").open("a") as file:
        file.write("/studies\n")


def change_params(checkout: Path, overrides: dict[str, Any]) -> None:
    """Lay nested `overrides` over the params.yaml of `checkout`."""
    lay_over(checkout / "params.yaml", overrides)


def cpu_environment(checkout: Path) -> dict[str, str]:
    """That of a process on one thread of the CPU which imports from `checkout`, not from where the tests are."""
    return warm_environment() | {
        "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip


def cold_environment() -> dict[str, str]:
    """That of a process whose `python` is this interpreter."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def dvc(checkout: Path, *arguments: str, check: bool = True, warm: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a DVC command in `checkout`, or in a folder of it, on its code; the output is kept as text.

    warm: it and the stages that it runs start at once.
    """
    root = next((folder for folder in (checkout, *checkout.parents) if (folder / ".git").exists()), checkout)
    environment = warm_environment() if warm else cold_environment()
    done = subprocess.run(
        [warm_python() if warm else sys.executable, "-m", "dvc", *arguments],
        cwd=checkout, env=environment | {"PYTHONPATH": str(root)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise RuntimeError(f"dvc {' '.join(arguments)} failed:\n{done.stdout}")
    return done


def side_by_side(checkout: Path) -> str:
    """Run the whole pipeline, and give back what is said of it."""
    done = subprocess.run(
        [warm_python(), "-m", "augury", "repro"], cwd=checkout, env=cpu_environment(checkout), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"augury repro failed:\n{done.stdout}")
    return done.stdout


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # tiny tensors gain nothing from threads
    with tempfile.TemporaryDirectory(prefix="augury-smoke-") as folder:
        checkout = Path(folder)
        copy_checkout(checkout, SMOKE_PARAMS)
        print(side_by_side(checkout))
        print(dvc(checkout, "metrics", "show").stdout)
        report = checkout / "data/report/index.html"
        print(f"smoke: every stage ran; the report had {report.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
