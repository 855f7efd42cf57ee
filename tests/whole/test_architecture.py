"""Guards of the architecture, read from dvc.yaml, params.yaml, docs/ARCHITECTURE.md and the imports."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from augury.pipeline import params as params_module
from augury.pipeline.cores import WITH_ANY_THREADS
from augury.pipeline.imports import directly_imported, imported_files
from models import GENERATORS
from tests import CHECKOUT


def read_yaml(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((CHECKOUT / name).read_text(encoding="utf-8"))


# A stage of a `foreach` by what each of its entries does.
PIPELINE = {name: stage | stage.get("do", {}) for name, stage in read_yaml("dvc.yaml")["stages"].items()}
PARAMS = read_yaml("params.yaml")
OPTIONAL = {"base", "train_pretrained"}  # stages that there are where params.yaml asks for them
ELSEWHERE = {"manifest": "prepare", "base": "train_pretrained"}  # stages that go by the section of another
# Those that run when what they depend on has changed; `manifest` always runs.
DEPENDENT = {name: stage for name, stage in PIPELINE.items() if not stage.get("always_changed")}
CODE = ("models", "augury", "stages")


def python_files(folder: str) -> list[Path]:
    """All below it; there must be some, as a guard over no file would pass."""
    files = sorted((CHECKOUT / folder).rglob("*.py"))
    assert files, folder
    return files


def resolved(text: str, stage: dict[str, Any]) -> set[str]:
    """A path of dvc.yaml with its ${...} filled in, for every entry of the stage's matrix."""
    paths = {text}
    for axis, values in stage.get("matrix", {}).items():
        entries: Any = PARAMS
        for key in values.removeprefix("${").removesuffix("}").split("."):
            entries = entries[key]
        paths = {path.replace(f"${{item.{axis}}}", str(entry)) for path in paths for entry in entries}
    return paths


def test_stage_files_are_the_stages_of_the_pipeline_and_the_sections_of_the_params() -> None:
    files = {path.stem for path in (CHECKOUT / "stages").glob("*.py")} - {"__init__"}
    assert files == set(PIPELINE)
    sections = set(PARAMS) - {"seed", "replicates", "device", "threads", "launch", "log"}
    assert sections == {ELSEWHERE.get(name, name) for name in PIPELINE}
    assert set(PIPELINE) - set(DEPENDENT) == {"manifest"}
    assert list(PARAMS) == list(params_module.Params.model_fields)


@pytest.mark.parametrize("name", PIPELINE)
def test_a_stage_runs_its_own_file(name: str) -> None:
    command = PIPELINE[name]["cmd"].split()
    # Training can be spread over several processes, all else cannot.
    assert command[:3] == ["${launch}" if name.startswith("train_") else "python", "-m", f"stages.{name}"]
    entries = [f"${{item.{axis}}}" for axis in PIPELINE[name].get("matrix", {})]
    assert command[3:] == (["${key}"] if "foreach" in PIPELINE[name] else entries)


def test_training_is_one_process_unless_told_otherwise() -> None:
    assert PARAMS["launch"] == "python"


def check_dependencies(entry: Path, deps: list[str], root: Path) -> None:
    """Of the first-party code that `entry` imports, directly or not, every file lies in a dependency, and none is idle.

    deps: as in a dvc.yaml in the folder `root`. A dependency is a room, or a file. entry: relative to the checkout.
    What it starts as processes of their own counts as what it imports.
    """
    paths = [(root / dep).resolve() for dep in deps if "$" not in dep]
    code = {path.relative_to(CHECKOUT) for path in paths if path.is_relative_to(CHECKOUT)}
    code = {path for path in code if path.parts[0] in CODE or (path.parts[0] == "studies" and path.suffix == ".py")}
    entries = [entry, *started(entry)]
    imported = {file for each in entries for file in {each, *imported_files(each)} if is_code(file)}
    uncovered = {file for file in imported if not any(file.is_relative_to(path) for path in code)}
    assert not uncovered
    idle = {path for path in code if not any(file.is_relative_to(path) for file in imported)}
    assert not idle


def started(entry: Path) -> Iterator[Path]:
    """The files that a study's step runs in a workspace, by `run_stage` or `run_module`."""
    for node in ast.walk(ast.parse((CHECKOUT / entry).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            match node.func.id, node.args[1:2]:
                case "run_stage", [ast.Constant(value=name)]:
                    yield Path("stages") / f"{name!s}.py"
                case "run_module", [ast.Constant(value=name)]:
                    yield Path(*str(name).split(".")).with_suffix(".py")


def is_code(file: Path) -> bool:
    """Whether it is more than the sentence that an __init__.py says about its room."""
    return file.name != "__init__.py" or len(ast.parse((CHECKOUT / file).read_text(encoding="utf-8")).body) > 1


@pytest.mark.parametrize("name", DEPENDENT)
def test_deps_hold_exactly_the_rooms_and_files_that_the_stage_imports(name: str) -> None:
    check_dependencies(Path("stages") / f"{name}.py", PIPELINE[name]["deps"], CHECKOUT)


def test_a_change_to_what_a_training_does_not_use_trains_nothing_again() -> None:
    for name in ("train_gan", "train_vae", "train_diffusion", "train_pretrained"):
        deps = PIPELINE[name]["deps"]
        assert not {"augury/arms", "augury/scores", "augury/evidence", "augury/report"} & {*deps}


def test_the_list_of_first_party_dependencies_stays_short() -> None:
    deps = [dep for stage in DEPENDENT.values() for dep in stage["deps"] if dep.split("/")[0] in CODE]
    assert 11 < len(deps) <= 62


@pytest.mark.parametrize("name", DEPENDENT)
def test_a_stage_depends_on_its_own_section_and_on_the_seed_device_and_threads_it_uses(name: str) -> None:
    keys = PIPELINE[name]["params"]
    source = (CHECKOUT / "stages" / f"{name}.py").read_text(encoding="utf-8")
    section = ELSEWHERE.get(name, name)
    assert any(key == section or key.startswith(f"{section}.") for key in keys)
    if name == "classify":  # which takes what is drawn from there
        source += (CHECKOUT / "augury/arms/training_set.py").read_text(encoding="utf-8")
    assert ("seed" in keys) == ("params.seed" in source) or name in ("cards", "report")  # which print it
    assert ("device" in keys) == ("params.device" in source) or name == "report"
    # Where torch computes what depends on them (see `stage.run`).
    assert ("threads" in keys) == ("device" in keys and name not in WITH_ANY_THREADS) or name == "report"


def test_the_test_split_is_opened_by_classify_alone() -> None:
    test_split = "data/splits/0/test"
    for name, stage in DEPENDENT.items():
        touches = any(
            test_split == path or test_split.startswith(f"{path}/") or path.startswith(f"{test_split}/")
            for dep in stage["deps"]
            for path in resolved(dep, stage)
        )
        assert touches == (name == "classify"), name
    # Nor does another stage name it in its code, declared or not; prepare writes it.
    paths = [*python_files("stages"), *python_files("augury")]
    for path in paths:
        if path.stem not in ("prepare", "classify"):
            assert not re.search(r"splits(/\d+/|\W+)test\b", path.read_text(encoding="utf-8")), path


def trained() -> dict[str, str]:
    """Generator -> the entry of the pipeline that trains it."""
    entries = {architecture: f"train_gan@0-{architecture}" for architecture in PARAMS["train_gan"]}
    alone = [name for name in PIPELINE if name.startswith("train_") and name not in ("train_gan", "train_pretrained")]
    return entries | {name.removeprefix("train_"): f"{name}@0" for name in alone}


def test_every_generator_is_trained_sampled_and_plotted_and_no_other() -> None:
    assert set(trained()) == set(GENERATORS)
    assert PARAMS["train_pretrained"] == {}  # optional, with packages and weights of its own
    assert set(PARAMS["sample"]["generators"]) == set(GENERATORS)
    architectures = {name for name, network in GENERATORS.items() if hasattr(network, "Discriminator")}
    assert set(PARAMS["train_gan"]) == architectures
    curves = {f"data/curves/0/{generator}.csv" for generator in GENERATORS}
    plots = [plot for entry in read_yaml("dvc.yaml")["plots"] for plot in entry.values()]
    assert {path for plot in plots for path in plot["y"]} == curves | {"data/curves/accuracy.csv"}
    assert any(set(plot["y"]) == curves for plot in plots)  # all beside each other


@pytest.mark.parametrize("generator", GENERATORS)
def test_every_generator_leaves_its_weights_and_its_curve(generator: str) -> None:
    stage = PIPELINE[trained()[generator].partition("@")[0]]
    outs = {path for out in stage["outs"] for path in resolved(out, stage)}
    assert {f"data/generators/0/{generator}", f"data/curves/0/{generator}.csv"} <= outs


# The rooms.


def rooms() -> dict[str, tuple[str, set[str]]]:
    """Room -> its sentence and the rooms that it may import, from the table in docs/ARCHITECTURE.md."""
    text = (CHECKOUT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("## Rooms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)/` \| (.+) \| (.+) \|$", table, re.MULTILINE)
    return {room: (sentence, {*re.findall(r"\w+", allowed)} - {"nothing"}) for room, sentence, allowed in rows}


ROOMS = rooms()


def room_of(file: Path) -> str:
    """ "augury/images" of augury/images/codec.py, "models" of models/vae.py."""
    return "/".join(file.parts[: 2 if file.parts[0] == "augury" and len(file.parts) > 2 else 1])


def test_every_folder_with_code_is_a_room_and_its_file_says_its_sentence() -> None:
    folders = {room_of(path.relative_to(CHECKOUT)) for folder in CODE for path in python_files(folder)}
    assert folders - {"augury"} == {*ROOMS}
    for room, (sentence, _) in ROOMS.items():
        text = ast.get_docstring(ast.parse((CHECKOUT / room / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert text.splitlines()[0] == sentence, room


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_row_allows(room: str) -> None:
    files = [path for path in python_files(room) if room_of(path.relative_to(CHECKOUT)) == room]
    allowed = {room, *(place for place in ROOMS if place.rpartition("/")[2] in ROOMS[room][1])}
    for path in files:
        for file in directly_imported(path.relative_to(CHECKOUT)):
            if is_code(file) and file.parts[0] in CODE:
                assert room_of(file) in allowed, (path.relative_to(CHECKOUT), file)
                if room == "stages":
                    assert file.parts[0] != "stages" or file.name == "__init__.py", path


def test_no_row_allows_what_stands_below_it() -> None:
    """So that no arrow goes upward, and no circle closes."""
    above: set[str] = set()
    for room, (_, allowed) in ROOMS.items():
        assert allowed <= above, room
        above.add(room.rpartition("/")[2])


STEPS = [
    pytest.param(path.parent, stage["cmd"].split()[2], stage["deps"], id=f"{path.parent.name}-{name}")
    for path in sorted(CHECKOUT.glob("studies/*/dvc.yaml"))
    for name, stage in read_yaml(str(path.relative_to(CHECKOUT)))["stages"].items()
]


@pytest.mark.parametrize(("folder", "module", "deps"), STEPS)
def test_deps_of_a_step_of_a_study_hold_exactly_what_it_imports_and_runs(
    folder: Path, module: str, deps: list[str]
) -> None:
    check_dependencies(Path(*module.split(".")).with_suffix(".py"), deps, folder)
    assert ("../page.py" in deps) == ("../page.html.jinja" in deps)


def test_no_study_imports_another() -> None:
    assert len(STEPS) > 20
    paths = [path.relative_to(CHECKOUT) for path in python_files("studies")]
    for path in paths:
        studies = {
            file.parts[1] for file in directly_imported(path) if file.parts[0] == "studies" and len(file.parts) > 2
        }
        assert studies <= {path.parts[1]}, path


def arrows() -> Iterator[tuple[str, str]]:
    """Pairs of rooms of augury/ and models/ of which the first imports the second."""
    for folder in ("augury", "models"):
        for path in python_files(folder):
            for file in directly_imported(path.relative_to(CHECKOUT)):
                pair = (room_of(path.relative_to(CHECKOUT)), room_of(file))
                if is_code(file) and pair[0] != pair[1] and pair[0] in ROOMS:  # augury/__main__.py is in none
                    yield pair


def test_arrows_between_rooms_stay_few() -> None:
    assert 20 < len({*arrows()}) <= 50


def test_stages_are_thin_and_no_module_is_too_long_for_one_sitting() -> None:
    for folder, limit in (("stages", 150), ("augury", 300), ("models", 300)):
        for path in python_files(folder):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= limit, path
