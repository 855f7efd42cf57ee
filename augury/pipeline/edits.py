"""What a user changed in params.yaml after a command had written it, so that the same command takes no edit back.

Values are flat: "prepare.folder" -> "images".
"""

import copy
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE, read_yaml

WRITTEN = Path(".cache/written_params.json")  # by each command last; untracked


def current_values() -> dict[str, Any]:
    """Those of params.yaml as it stands. Raises UserError where it holds no YAML."""
    return flat(read_yaml(PARAMS_FILE))


def committed_values() -> dict[str, Any]:
    """Those of params.yaml in the last commit; none where there is no such thing."""
    try:
        shown = subprocess.run(["git", "show", f"HEAD:./{PARAMS_FILE}"], capture_output=True, check=True)
        return flat(YAML(typ="safe").load(shown.stdout))
    except (OSError, subprocess.CalledProcessError, YAMLError):
        return {}


def last_written(command: str) -> dict[str, Any]:
    """What a command wrote, or would have written but for edits; none where it has not run here."""
    return read_json(WRITTEN).get(command, {}) if WRITTEN.exists() else {}


def note_written(command: str, values: Mapping[str, Any]) -> None:
    write_json(WRITTEN, {**(read_json(WRITTEN) if WRITTEN.exists() else {}), command: dict(values)})


def edits(current: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are other ones now than before, of the keys that both have."""
    return {key: value for key, value in current.items() if key in before and value != before[key]}


def in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {'null' if value is None else value}" for key, value in values.items())


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """{"prepare": {"source": ...}} as {"prepare.source": ...}; what is no mapping, or an empty one, is a value."""
    if not isinstance(tree, dict) or (not tree and prefix):
        return {prefix: tree} if prefix else {}
    return {key: value for name, part in tree.items() for key, value in flat(part, _joined(prefix, name)).items()}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `flat` makes flat; each key has a value of its own, as YAML would else write one as an alias of another."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        part = tree
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = copy.deepcopy(value)
    return tree


def _joined(prefix: str, name: object) -> str:
    return f"{prefix}.{name}" if prefix else str(name)
