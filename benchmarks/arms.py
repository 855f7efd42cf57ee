"""Whether a generator's arm beats classic augmentation where labels are few: `python -m benchmarks.arms few_labels`.

Each scenario is the default pipeline in a temporary copy of the checkout, with a few params changed; what is unchanged
comes out of this checkout's DVC cache. `only` adds an arm of synthetic images alone for each generator, which gives the
classification accuracy score on test. few_labels and long_tail retrain the generators, all but StyleGAN-lite, whose
training takes longest (8 minutes each).
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from augury.pipeline.process import one_line_errors
from tests.smoke import CHECKOUT, change_params, copy_checkout, dvc

GENERATORS = ("dcgan", "stylegan", "vae", "diffusion")
FIVEFOLD = {f"classic+{name}_x5": {"augment": ["classic"], "synthetic": {name: 5.0}} for name in ("vae", "diffusion")}
SCENARIOS: dict[str, dict[str, Any]] = {
    "only": {
        "classify": {
            "arms": {f"{name}_only": {"real": False, "synthetic": {name: 6.25}} for name in GENERATORS}  # all 5,000
        }
    },
    "few_labels": {"prepare": {"labels_per_class": 20}, "classify": {"arms": FIVEFOLD}},
    "long_tail": {"prepare": {"imbalance_ratio": 50.0}, "classify": {"arms": FIVEFOLD}},
}


def linked_checkout(folder: Path, *caches: str) -> None:
    """A copy of this checkout in which what is unchanged comes out of this one's DVC cache and these of its .cache."""
    copy_checkout(folder, {})
    (folder / "dvc.lock").write_bytes((CHECKOUT / "dvc.lock").read_bytes())
    dvc(folder, "config", "--local", "cache.dir", str(CHECKOUT / ".dvc/cache"))
    (folder / ".cache").mkdir(exist_ok=True)
    for cached in caches:
        (folder / ".cache" / cached).symlink_to(CHECKOUT / ".cache" / cached)


def leave_out(generator: str, path: Path) -> None:
    yaml = YAML()
    content = yaml.load(path.read_text(encoding="utf-8"))
    del content["train_gan"][generator], content["sample"]["generators"][generator]
    arms = content["classify"]["arms"]
    for name in [name for name, arm in arms.items() if generator in arm.get("synthetic", {})]:
        del arms[name]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def main(scenario: str) -> None:
    with tempfile.TemporaryDirectory(prefix="augury-arms-") as folder:
        checkout = Path(folder)
        linked_checkout(checkout, "fashion_mnist", "features")
        change_params(checkout, SCENARIOS[scenario])
        if scenario != "only":
            leave_out("stylegan", checkout / "params.yaml")
        dvc(checkout, "repro", "compare")
        splits = json.loads((checkout / "data/splits/0/summary.json").read_text())
        print(f"{scenario}: training images per class {splits['train']}, validation {splits['validation']}")
        for path in sorted((checkout / "data/costs").glob("train_*.json")):
            cost = json.loads(path.read_text())
            print(f"  {cost['stage']}: {cost['seconds']:.0f} s")
        comparison = json.loads((checkout / "data/comparison.json").read_text())
        for arm, entry in comparison["arms"].items():
            row = entry["gain"] and entry["gain"][comparison["scope"]]
            print(f"  {arm:18} {100 * entry['value']:.2f}%  {row['sentence'] if row else 'the reference'}")


if __name__ == "__main__":
    with one_line_errors("arms"):
        if sys.argv[1:] not in [[name] for name in SCENARIOS]:
            sys.exit(f"usage: python -m benchmarks.arms SCENARIO; choose from {', '.join(SCENARIOS)}")
        main(sys.argv[1])
