"""Lay a profile over params.yaml: `python -m augury.pipeline.profiles params.gpu.yaml`, or `make repro PROFILE=gpu`.

A profile holds only the keys that it changes. params.yaml keeps its comments and order; `git diff` shows what changed,
`git checkout params.yaml` undoes it. What was edited since the same profile was laid over it last is kept, and named.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from augury.pipeline import edits, params
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_file
from augury.pipeline.process import check_arguments, one_line_errors


def lay_over(path: Path, overrides: dict[str, Any], out: Iterable[str] = ()) -> None:
    """Set the nested `overrides` in the YAML file at `path`, if what comes of it is valid; else raise UserError.

    out: keys such as classify.arms.mine.augment that are taken out first, with what then has nothing in it.
    """
    yaml = YAML()
    yaml.width = 120
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    content = yaml.load(path.read_text(encoding="utf-8"))
    for key in out:
        _take_out(content, key.split("."))
    _merge(content, overrides)
    with whole_file(path) as partial:
        with partial.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
        params.load(partial)


def _merge(target: Any, overrides: dict[str, Any]) -> None:
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        elif key not in target or target[key] != value:  # else it stays as it is written
            target[key] = value


def _take_out(target: Any, names: list[str]) -> None:
    name, *further = names
    if further:
        _take_out(target[name], further)
    if not further or not target[name]:
        del target[name]


def main(profile: Path) -> None:
    if not profile.exists():
        there = ", ".join(str(path) for path in sorted(Path().glob("params.*.yaml")))
        raise UserError(f"{profile}: No such file or directory; profiles here: {there or 'none'}")
    overrides = params.read_yaml(profile)
    if not isinstance(overrides, dict):
        raise UserError(f"{profile}: expected keys of {params.PARAMS_FILE} with new values")
    values, name = edits.flat(overrides), profile.name
    kept = {
        key: value
        for key, value in edits.edits(edits.current_values(), edits.last_written(name)).items()
        if key in values
    }
    lay_over(params.PARAMS_FILE, edits.nested({**values, **kept}))
    edits.note_written(name, values)
    if kept:
        print(f"{name}: kept as changed since it was laid over {params.PARAMS_FILE}: {edits.in_words(kept)}")


if __name__ == "__main__":
    with one_line_errors("profiles"):
        check_arguments(["params.NAME.yaml"], sys.argv[1:])
        main(Path(sys.argv[1]))
