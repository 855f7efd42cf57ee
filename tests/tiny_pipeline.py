"""A pipeline in small, with the stages and the matrix of arms of the real one: each stage takes milliseconds."""

import os
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

STAGE = '''
import json, os, sys, time
from pathlib import Path
from ruamel.yaml import YAML

params = YAML(typ="safe").load(Path("params.yaml"))
stage, *arms = sys.argv[1:]
data = Path("data")

def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))

def meet(arm, others):
    """Wait for `others` to be at work as well; whoever is alone does not get any further."""
    folder = Path(os.environ["MEETING"])
    write(folder / arm, {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")})
    for _ in range(1200):
        if all((folder / other).exists() for other in others):
            return
        time.sleep(0.05)
    sys.exit(f"classify@{arm}: waited for {others} in vain")

if stage == "prepare":
    write(data / "split.json", {"images": params["prepare"]["images"]})
elif stage == "classify":
    [arm] = arms
    settings, head = params["classify"]["arms"][arm], params["classify"]["head"]
    if "MEETING" in os.environ:
        meet(arm, settings.get("meets", []))
    time.sleep(settings.get("sleeps", 0))
    if settings.get("fails"):
        sys.exit(f"classify@{arm}: {settings['fails']}")
    images = json.loads((data / "split.json").read_text())["images"]
    for seed in params["classify"]["seeds"]:
        accuracy = 1 - 1 / (images + head["steps"] + len(arm) + seed)
        write(data / "results" / arm / f"{seed}.json", {"accuracy": accuracy})
elif stage == "compare":
    rows, means = ["arm,seed,accuracy"], {}
    for folder in sorted((data / "results").iterdir()):
        accuracies = {file.stem: json.loads(file.read_text())["accuracy"] for file in sorted(folder.iterdir())}
        rows += [f"{folder.name},{seed},{accuracy}" for seed, accuracy in accuracies.items()]
        means[folder.name] = {"accuracy": sum(accuracies.values()) / len(accuracies)}
    write(data / "curves" / "accuracy.csv", "\\n".join(rows) + "\\n")
    write(data / "metrics.json", {"arms": means})
else:
    write(data / "report" / "index.html", (data / "metrics.json").read_text())
'''

PIPELINE = """
stages:
  prepare:
    cmd: python stage.py prepare
    deps: [stage.py]
    params: [prepare]
    outs: [data/split.json]
  classify:
    matrix:
      arm: ${classify.arms}
    cmd: python stage.py classify ${item.arm}
    deps: [stage.py, data/split.json]
    params: ["classify.arms.${item.arm}", classify.head, classify.seeds]
    outs: ["data/results/${item.arm}"]
  compare:
    cmd: python stage.py compare
    deps: [stage.py, data/results]
    outs: [data/curves/accuracy.csv]
    metrics: [data/metrics.json]
  report:
    cmd: python stage.py report
    deps: [stage.py, data/metrics.json]
    outs: [data/report]
plots:
  - accuracy per seed:
      template: scatter
      x: {data/curves/accuracy.csv: seed}
      y: {data/curves/accuracy.csv: accuracy}
"""


def make_repository(folder: Path, arms: dict[str, Any]) -> Path:
    """A DVC repository in git with this pipeline over `arms`, committed and not yet run."""
    folder.mkdir()
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".gitignore").write_text("/data/\n/.cache/\n/meeting/\n")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / "params.yaml").write_text("{}\n")
    classify = {"head": {"steps": 100}, "seeds": [0, 1], "arms": arms}
    change_params(folder, {"prepare": {"images": 5}, "classify": classify})
    git(folder, "init", "--quiet")
    commit(folder, "Begin")
    return folder


def change_params(folder: Path, overrides: dict[str, Any]) -> None:
    """Lay nested `overrides` over its params.yaml."""

    def lay(content: dict[str, Any], over: dict[str, Any]) -> None:
        for key, value in over.items():
            if isinstance(value, dict) and isinstance(content.get(key), dict):
                lay(content[key], value)
            else:
                content[key] = value

    params = YAML().load((folder / "params.yaml").read_text())
    lay(params, overrides)
    YAML().dump(params, folder / "params.yaml")


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def git(folder: Path, *arguments: str) -> str:
    """Run git, without the settings of whoever runs the tests."""
    author = {f"GIT_{role}_{key}": "augury" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    environment = os.environ | author | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout
