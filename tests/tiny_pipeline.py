"""A pipeline in small, with stages and matrices as those of the real one: each stage takes milliseconds."""

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
stage, *entry = sys.argv[1:]
data = Path("data")

def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))

def meet(replicate, arm, others):
    """Wait for `others` to be at work as well; whoever is alone does not get any further."""
    folder = Path(os.environ["MEETING"])
    write(folder / arm, {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")})
    for _ in range(1200):
        if all((folder / other).exists() for other in others):
            return
        time.sleep(0.05)
    sys.exit(f"classify@{replicate}-{arm}: waited for {others} in vain")

if stage == "prepare":
    [replicate] = entry
    write(data / "splits" / f"{replicate}.json", {"images": params["prepare"]["images"] + int(replicate)})
elif stage == "classify":
    replicate, arm = entry
    settings, head = params["classify"]["arms"][arm], params["classify"]["head"]
    if "MEETING" in os.environ:
        meet(replicate, arm, settings.get("meets", []))
    time.sleep(settings.get("sleeps", 0))
    sys.stderr.write(settings.get("says", ""))
    if settings.get("fails"):
        sys.exit(f"classify@{replicate}-{arm}: {settings['fails']}")
    images = json.loads((data / "splits" / f"{replicate}.json").read_text())["images"]
    for seed in params["classify"]["seeds"]:
        accuracy = 1 - 1 / (images + head["steps"] + len(arm) + seed)
        write(data / "results" / replicate / arm / f"{seed}.json", {"accuracy": accuracy})
elif stage == "compare":
    rows, means = ["replicate,arm,seed,accuracy"], {}
    for folder in sorted((data / "results").glob("*/*")):
        accuracies = {file.stem: json.loads(file.read_text())["accuracy"] for file in sorted(folder.iterdir())}
        rows += [f"{folder.parent.name},{folder.name},{seed},{accuracy}" for seed, accuracy in accuracies.items()]
        if folder.parent.name == "0":
            means[folder.name] = {"accuracy": sum(accuracies.values()) / len(accuracies)}
    write(data / "curves" / "accuracy.csv", "\\n".join(rows) + "\\n")
    write(data / "metrics.json", {"arms": means})
else:
    write(data / "report" / "index.html", (data / "metrics.json").read_text())
'''

PIPELINE = """
stages:
  prepare:
    matrix:
      replicate: ${replicates}
    cmd: python stage.py prepare ${item.replicate}
    deps: [stage.py]
    params: [prepare]
    outs: ["data/splits/${item.replicate}.json"]
  classify:
    matrix:
      replicate: ${replicates}
      arm: ${classify.arms}
    cmd: python stage.py classify ${item.replicate} ${item.arm}
    deps: [stage.py, "data/splits/${item.replicate}.json"]
    params: ["classify.arms.${item.arm}", classify.head, classify.seeds]
    outs: ["data/results/${item.replicate}/${item.arm}"]
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
    change_params(folder, {"replicates": [0], "prepare": {"images": 5}, "classify": classify})
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
