"""The pages: links lead somewhere, commands are run by a test or named as not run, and all of it builds as a site."""

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.cli import parse_args as parse_dvc
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from ruamel.yaml import YAML

from augury.pipeline import params
from tests import CHECKOUT

MANUAL = sorted(path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("docs/*.md"))
ROOMS = ("augury", "models", "stages", "studies", "tests", "benchmarks")
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *MANUAL]

# Every command in a fenced block of a page, as a regular expression of the whole of it, with who runs it: HERE (this
# file does), a test (module::function), or "not run: " and the reason. A command without a row fails, and so does a row
# without a command.
HERE = "here"
WHO_RUNS: dict[str, str] = {
    r"make repro( IMAGES=\S+)?": "not run: minutes of training; test_init and test_pipeline run its two halves",
    r"make repro PROFILE=gpu": "not run: needs a large GPU; test_profiles checks the profile",
    r"make report": "not run: minutes of training, as `make repro`",
    r"make smoke": "not run: two minutes; test_pipeline runs the same pipeline on the same params",
    r"make doctor": "test_doctor::test_a_checkout_that_can_run_is_described_section_by_section",
    r"make test": "not run: it runs these tests",
    r"make help": HERE,
    r"make docs": "test_docs::test_the_pages_build_as_a_site_that_fetches_nothing",
    r"make study NAME=\w+": "not run: 7 to 60 minutes each; the tests of each study run its steps in small",
    r"source \.venv/bin/activate": "not run: it changes the shell that it is typed in",
    r"dvc repro": "test_pipeline::test_the_smoke_run_leaves_results_that_add_up",
    r"dvc dag": HERE,
    r"dvc metrics show": "test_pipeline::test_metrics_and_plots_show",
    r"dvc plots show": "test_pipeline::test_metrics_and_plots_show",
    r"dvc metrics diff": "test_experiments::test_an_experiment_changes_one_key_and_shows_in_metrics_and_plots",
    r"git diff params\.yaml": HERE,
    r"python -m augury --help": HERE,
    r"python -m augury init --images \S+": "test_init::test_a_folder_per_class_is_described_and_written",
    r"python -m augury init --images \S+ --dry-run": "test_init::test_a_dry_run_writes_nothing",
    r"python -m augury generate .+": "test_generation::test_a_set_has_its_images_labels_and_provenance_and_a_card",
    r"python -m augury export .+": "test_formats::test_our_own_sources_read_them_back",
    r"python -m augury score \S+ \S+( --extractor \w+ --json \S+)?":
        "test_commands::test_two_folders_get_every_score_with_its_floor_and_its_n",
    r"python -m augury score \S+ \S+ --whole": "test_commands::test_the_whole_sets_distance_alone_takes_no_halves",
    r"python -m augury score \S+ \S+ --intensity \d+ \d+": "test_commands::test_one_range_scales_both_folders",
    r"python -m augury masks \S+ --to \S+": "test_cut_outs::test_a_folder_gets_masks_a_table_and_a_sheet",
    r"python -m augury masks \S+ --masks sam .+": "test_cut_outs::test_sam_finds_them_where_its_weights_are",
    r"pip install -r requirements-pretrained\.txt -c constraints\.txt": "not run: `make test` has installed them",
    r"hf download \S+": "not run: needs the network; test_sam finds in the cache what it leaves there",
    r"python -m augury fetch-base .+":
        "test_fetching::test_a_base_is_what_its_pipeline_needs_and_says_where_it_is_from",
    r"python -m augury predictors": "test_commands::test_experiments_are_pooled",
    r"python -m augury repro( --jobs 4)?": "test_repro::test_stages_run_side_by_side_and_leave_what_repro_leaves",
    r"torchrun --nnodes 2 .+": "test_nodes::test_two_machines_train_what_two_processes_of_one_do",
    r"PET_NODE_RANK=0 .+ dvc repro train_gan@0-dcgan":
        "not run: needs two machines; test_nodes starts the first of two with the same launch and environment",
    r"dvc exp run -S classify\.head\.steps=50":
        "test_experiments::test_an_experiment_changes_one_key_and_shows_in_metrics_and_plots",
    r"dvc exp run --queue -S classify\.head\.steps=50,100,200":
        "test_experiments::test_a_queue_sweeps_a_key_and_leaves_the_checkout_alone",
    r"dvc exp run --run-all": "test_experiments::test_a_queue_sweeps_a_key_and_leaves_the_checkout_alone",
    r"dvc exp show --csv": "test_experiments::test_a_queue_sweeps_a_key_and_leaves_the_checkout_alone",
    r"dvc plots diff HEAD NAME": "test_experiments::test_an_experiment_changes_one_key_and_shows_in_metrics_and_plots",
    r"dvc exp apply NAME": "test_experiments::test_an_experiment_changes_one_key_and_shows_in_metrics_and_plots",
    r"dvc exp run -S '?(sample\.generators\.vae\.strategy|classify\.seeds)=.+":
        "test_docs::test_what_an_experiment_sets_is_allowed",
    r"dvc exp run -S 'replicates=.+'": "test_experiments::test_a_replicate_is_added_on_the_command_line",
    r"dvc exp run -S '[+~]?classify\.arms.+'":
        "test_experiments::test_arms_are_added_changed_and_removed_on_the_command_line",
    r"dvc remote add -d shared \S+":
        "test_sharing::test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes",
    r"git add \.dvc/config params\.yaml dvc\.lock":
        "test_sharing::test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes",
    r'git commit -m "Record the run"':
        "test_sharing::test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes",
    r"git push": "not run: needs a server; test_sharing clones from the folder instead",
    r"dvc push": "test_sharing::test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes",
    r"dvc pull --allow-missing":
        "test_sharing::test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes",
    r"dvc remote modify --local shared endpointurl \S+":
        "test_sharing::test_a_clone_that_pulls_from_an_s3_store_runs_nothing",
    r"dvc add photographs": "test_sharing::test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes",
    r"git add photographs\.dvc":
        "test_sharing::test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes",
    r"cd studies/dose && dvc repro": "not run: 8 minutes; test_studies runs its steps in small",
    r"dvc (metrics|plots) show studies/\S+": "not run: shows what minutes of a study have left",
    r"\(cd studies/architectures && .+\)": "not run: measures the speed of the machine that it runs on",
    r"(?s)from diffusers import DiffusionPipeline\n.+":
        "test_diffusion::test_diffusers_draws_the_same_images_outside_this_repository",
}  # fmt: skip

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = ("make", "dvc", "python", "torchrun", "git", "source", "pip", "hf")


def read(page: str) -> str:
    return (CHECKOUT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [block for kind, block in FENCE.findall(read(page)) if kind == language]


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", read(page))


def shell_commands(page: str) -> list[str]:
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [command for line in lines if (command := re.sub(r"(^|\s+)#\s.*", "", line).strip())]


def inline_commands(page: str) -> list[str]:
    """Whole ones in the prose: none that leave something open."""
    quoted = re.findall(r"`((?:make|dvc|python -m augury|cd studies/\w+) [^`]+)`", prose(page))
    return [command for command in quoted if "..." not in command and "<" not in command]


ALL_COMMANDS = [command for page in PAGES for command in shell_commands(page) + blocks(page, "python")]
PARSED = sorted({command for page in PAGES for command in shell_commands(page) + inline_commands(page)})


RUN_HERE = sorted({c for c in ALL_COMMANDS for row, runs in WHO_RUNS.items() if runs == HERE and re.fullmatch(row, c)})


def programs(command: str) -> Iterator[list[str]]:
    """The words of each program that a line starts: `(cd there && NAME=value program word)`."""
    for part in command.removeprefix("(").removesuffix(")").split(" && "):
        words = shlex.split(part)
        yield words[next(n for n, word in enumerate(words) if not re.match(r"[A-Z_]+=", word)) :]


def run_here(command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(shlex.split(command), cwd=CHECKOUT, env=environment, capture_output=True, text=True)


# Links


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub and MkDocs spell them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_are_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(page))):
        if re.match(r"https://", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (CHECKOUT / page).parent / name if name else CHECKOUT / page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES)
def test_files_and_modules_that_a_page_names_are_there(page: str) -> None:
    files = [path.relative_to(CHECKOUT).as_posix() for room in ROOMS for path in (CHECKOUT / room).rglob("*.py")]
    text = prose(page).replace(r"\_", "_")
    for name in re.findall(r"[\w/]+\.py\b", text):
        assert any(f"/{file}".endswith(f"/{name}") for file in files), name
    for name in re.findall(r"\baugury(?:\.\w+)+", text):
        places = [name.replace(".", "/"), name.rpartition(".")[0].replace(".", "/")]  # a module, or a name in one
        assert any(f"{place}.py" in files or (CHECKOUT / place / "__init__.py").exists() for place in places), name


def test_the_readme_begins_with_the_question_the_command_and_the_answer() -> None:
    lines = read("README.md").splitlines()
    assert len(lines) <= 150
    begin = "\n".join(lines[:30])
    order = ["**Does synthetic data help", "make repro IMAGES=", "\nmake repro\n", "](docs/report.png)", "\nWith 100 "]
    places = [begin.index(text) for text in order]
    assert places == sorted(places)
    assert all(f"]({page})" in read("README.md") for page in MANUAL if page != "docs/index.md")


def test_the_default_run_is_the_same_on_all_pages() -> None:
    """Arm, accuracy and gain with its interval: as manual and record have them, and the README those it names."""
    rows = {}
    for page, heading in (
        ("docs/evidence.md", "## The default run"),
        ("benchmarks/RESULTS.md", "## The default result"),
    ):
        section = (CHECKOUT / page).read_text().split(heading)[1].split("\n## ")[0].replace("−", "-").replace("`", "")
        rows[page] = re.findall(
            r"^\| (\S+) \| (\d\d\.\d\d) \| ([-+]?\d\.\d\d) \(([-+.\d]+ to [-+.\d]+)\)", section, re.M
        )
    of_manual, of_record = ({arm: row for arm, *row in found} for found in rows.values())
    assert len(of_manual) >= 10
    assert of_manual.items() <= of_record.items()
    _, gain, interval = of_manual["classic+more_real"]
    said = f"labels gained {gain} ({interval})".replace("+", "")
    assert said in " ".join((CHECKOUT / "README.md").read_text().split())


def test_the_picture_is_small_enough_for_a_page() -> None:
    assert (CHECKOUT / "docs/report.png").stat().st_size < 200_000


# Commands


@pytest.mark.parametrize("command", sorted(set(ALL_COMMANDS)))
def test_a_command_is_run_or_named_as_not_run(command: str) -> None:
    rows = [pattern for pattern in WHO_RUNS if re.fullmatch(pattern, command)]
    assert len(rows) == 1, f"{command!r} has {len(rows)} rows in WHO_RUNS"


@pytest.mark.parametrize("pattern", WHO_RUNS)
def test_a_row_is_of_a_command_and_names_a_test_or_a_reason(pattern: str) -> None:
    assert any(re.fullmatch(pattern, command) for command in ALL_COMMANDS)
    runs = WHO_RUNS[pattern]
    if runs == HERE or re.match("not run: .", runs):
        return
    module, function = runs.split("::")
    (path,) = (CHECKOUT / "tests").rglob(f"{module}.py")
    assert re.search(rf"^def {function}\(", path.read_text(encoding="utf-8"), re.MULTILINE), runs


@pytest.mark.parametrize("page", PAGES)
def test_commands_stand_in_blocks_of_sh(page: str) -> None:
    for language, block in FENCE.findall(read(page)):
        assert language in ("", "sh", "yaml", "python")
        if language != "sh":
            assert [line for line in block.splitlines() if line.split(" ")[0] in PROGRAMS] == []


@pytest.mark.parametrize("command", RUN_HERE)
def test_cheap_commands_end_well(command: str) -> None:
    done = run_here(command)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", PARSED)
def test_the_program_takes_these_words(command: str) -> None:
    for words in programs(command):
        match words:
            case ["make", *arguments]:
                check_make(arguments)
            case ["dvc", *arguments]:
                assert parse_dvc(arguments).func
            case ["python", "-m", "augury", *arguments]:
                check_augury(arguments)
            case ["python", "-m", module]:
                assert importlib.util.find_spec(module), module
            case ["torchrun", *options, "-m", module, "0", _]:
                assert importlib.util.find_spec(module), module
                assert [word for word in options if word.startswith("-")] == [
                    "--nnodes", "--node-rank", "--nproc-per-node", "--master-addr",
                ]  # fmt: skip
            case ["cd", folder]:
                assert (CHECKOUT / folder).is_dir()
            case ["pip", "install", "-r", requirements, "-c", constraints]:
                assert (CHECKOUT / requirements).is_file()
                assert (CHECKOUT / constraints).is_file()
            case ["git" | "source", *_] | ["hf", "download", _]:
                pass
            case _:
                pytest.fail(f"no check for {words}")


def check_make(arguments: list[str]) -> None:
    done = run_here(shlex.join(["make", "--dry-run", *arguments]))
    assert done.returncode == 0, done.stderr
    variables = dict(word.split("=") for word in arguments if "=" in word)
    assert set(variables) <= {"IMAGES", "PROFILE", "NAME"}
    if "NAME" in variables:
        assert (CHECKOUT / "studies" / variables["NAME"] / "dvc.yaml").is_file()
    if "PROFILE" in variables:
        assert (CHECKOUT / f"params.{variables['PROFILE']}.yaml").is_file()


def check_augury(arguments: list[str]) -> None:
    if arguments == ["--help"]:
        return
    parser = argparse.ArgumentParser(allow_abbrev=False)
    importlib.import_module(f"augury.commands.{arguments[0].replace('-', '_')}").add_arguments(parser)
    parser.parse_args(arguments[1:])


def test_what_a_study_shows_is_what_it_writes() -> None:
    shown = {name for command in PARSED for name in re.findall(r"show (studies/\S+)", command)}
    assert shown
    for name in shown:
        assert Path(name).name in (CHECKOUT / name).parent.joinpath("dvc.yaml").read_text(encoding="utf-8"), name


# Settings


def test_what_an_experiment_sets_is_allowed(tmp_path: Path) -> None:
    overrides = [words[words.index("-S") + 1] for command in PARSED for words in programs(command) if "-S" in words]
    assert len(overrides) >= 8
    for override in overrides:
        # A sweep is many runs; one of them goes on as it is.
        for run in get_hydra_sweeps({"params.yaml": [override]}):
            file = tmp_path / "params.yaml"
            shutil.copy(CHECKOUT / "params.yaml", file)
            apply_overrides(file, run["params.yaml"])
            assert params.load(file) != params.load(CHECKOUT / "params.yaml")


def merge(settings: dict[str, Any], content: dict[str, Any]) -> None:
    """Put settings into params.yaml as one does with an editor: what is not named stays."""
    for key, value in settings.items():
        if isinstance(value, dict) and key in content:
            merge(value, content[key])
        else:
            content[key] = value


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_settings_are_allowed(page: str, tmp_path: Path) -> None:
    """A block is arms, or keys of params.yaml."""
    yaml = YAML(typ="safe", pure=True)
    for block in blocks(page, "yaml"):
        content: dict[str, Any] = yaml.load(read("params.yaml"))
        settings = yaml.load(block)
        merge(settings, content if set(settings) <= set(content) else content["classify"]["arms"])
        yaml.dump(content, tmp_path / "params.yaml")
        params.load(tmp_path / "params.yaml")


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_are_there(page: str) -> None:
    """`section.key` and `key: value` in the prose; those that params.yaml leaves out are named in its comments."""
    text = read("params.yaml")
    content = YAML(typ="safe", pure=True).load(text)
    for name, value in re.findall(r"`([a-z]\w*(?:\.\w+)*)(: [^`\n]+)?`", prose(page)):
        section, *keys = name.split(".")
        if keys and keys[-1] in ("py", "yaml", "json"):
            continue  # a file
        if keys and section in content:
            at = content[section]
            for key in keys:
                assert key in at, name
                at = at[key]
        elif value and not keys:
            assert re.search(rf"\b{name}\b", text), name


# The site


def copy_of_pages(folder: Path) -> Path:
    shutil.copytree(CHECKOUT / "docs", folder / "docs")
    for name in ("mkdocs.yml", "Makefile"):
        shutil.copy(CHECKOUT / name, folder)
    return folder


def make_docs(folder: Path) -> subprocess.CompletedProcess[str]:
    """`make docs` where the packages are those of the tests: nothing is installed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["make", "--old-file", ".venv/installed-dev", "docs"]
    return subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True)


def test_the_pages_build_as_a_site_that_fetches_nothing(tmp_path: Path) -> None:
    done = make_docs(copy_of_pages(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"The pages: {tmp_path}/site/index.html\n")
    names = {Path(page).stem for page in MANUAL}
    assert {path.stem for path in tmp_path.glob("site/*.html")} == names | {"404"}
    assert (tmp_path / "site/report.png").is_file()
    for page in tmp_path.glob("site/*.html"):
        html = page.read_text(encoding="utf-8")
        fetched = re.findall(
            r"<(?:script|img|iframe|source)[^>]* src=\"?([^\" >]+)|<link[^>]* href=\"?([^\" >]+)", html
        )
        assert fetched
        assert [address for pair in fetched for address in pair if "//" in address] == []
    for sheet in tmp_path.glob("site/assets/stylesheets/*.css"):
        assert not re.search(r"(@import|url\()[^;)]*https?:", sheet.read_text(encoding="utf-8"))


@pytest.mark.parametrize("link", ["nowhere.md", "pipeline.md#nowhere"])
def test_a_broken_link_fails(link: str, tmp_path: Path) -> None:
    page = copy_of_pages(tmp_path) / "docs/index.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n[broken]({link})\n", encoding="utf-8")
    done = make_docs(tmp_path)
    assert done.returncode != 0
    assert "nowhere" in done.stdout + done.stderr


# Licence, citation, changes


def test_the_licence_is_the_one_that_the_citation_names() -> None:
    citation = YAML(typ="safe", pure=True).load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format asks for
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "Augury contributors"}]
    assert citation["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License\n\nCopyright (c) 2026 Augury contributors\n")


def test_the_change_log_begins_with_what_is_not_released() -> None:
    assert re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)[0] == "Unreleased"
