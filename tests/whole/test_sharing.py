"""Results by way of a DVC remote, as docs/scaling-out.md has it: pushed from one checkout, pulled in a fresh clone."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from tests import CHECKOUT
from tests.smoke import dvc
from tests.tiny_pipeline import change_params, commit, git, make_repository

ARMS: dict[str, Any] = {"none": {}, "classic+vae": {}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in git whose pipeline has run on somebody's own images, without a remote."""
    repository = make_repository(tmp_path_factory.mktemp("ran") / "repository", ARMS)
    (repository / "photographs/cat").mkdir(parents=True)
    (repository / "photographs/cat/1.png").write_bytes(b"a cat")
    dvc(repository, "add", "photographs")
    pipeline = (repository / "dvc.yaml").read_text()
    (repository / "dvc.yaml").write_text(pipeline.replace("[stage.py]", "[stage.py, photographs]", 1))
    dvc(repository, "repro")
    commit(repository, "Run")
    return repository


@pytest.fixture
def repository(ran: Path, tmp_path: Path) -> Path:
    shutil.copytree(ran, tmp_path / "repository")
    return tmp_path / "repository"


def share(repository: Path, url: str) -> None:
    """The page's steps, but for `git push`."""
    dvc(repository, "remote", "add", "-d", "shared", url)
    git(repository, "add", ".dvc/config", "params.yaml", "dvc.lock")
    git(repository, "commit", "--quiet", "--message", "Record the run")


def clone_of(repository: Path) -> Path:
    clone = repository.parent / "clone"
    git(repository.parent, "clone", "--quiet", str(repository), str(clone))
    assert not (clone / "data").exists()
    assert not (clone / "photographs").exists()
    return clone


def outputs(checkout: Path) -> dict[str, bytes]:
    """What the pipeline made, and what from."""
    files = [*(checkout / "data").rglob("*"), *(checkout / "photographs").rglob("*"), checkout / "dvc.lock"]
    return {str(path.relative_to(checkout)): path.read_bytes() for path in files if path.is_file()}


def check_nothing_runs(clone: Path, expected: dict[str, bytes]) -> None:
    assert {"photographs/cat/1.png", "data/splits/0.json", "data/report/index.html"} < set(expected)
    assert outputs(clone) == expected
    assert dvc(clone, "status").stdout == "Data and pipelines are up to date.\n"
    assert "Running stage" not in dvc(clone, "repro").stdout
    assert outputs(clone) == expected
    assert git(clone, "status", "--porcelain") == ""


def test_the_page_has_these_steps() -> None:
    text = (CHECKOUT / "docs/scaling-out.md").read_text(encoding="utf-8")
    for step in (
        r"dvc remote add -d shared \S+",
        "git add .dvc/config params.yaml dvc.lock",
        "dvc push",
        "dvc pull --allow-missing",
    ):
        assert re.search(rf"^{step}\b", text, re.MULTILINE), step


def test_a_clone_that_pulls_from_a_folder_runs_nothing_until_something_changes(
    repository: Path, tmp_path: Path
) -> None:
    share(repository, str(tmp_path / "remote"))
    dvc(repository, "push")
    clone = clone_of(repository)
    dvc(clone, "pull", "--allow-missing")
    check_nothing_runs(clone, outputs(repository))
    change_params(clone, {"classify": {"arms": {"none": {"sleeps": 0.01}}}})
    output = dvc(clone, "repro").stdout
    assert re.findall(r"^Running stage '(.*)'", output, re.MULTILINE) == ["classify@0-none"]  # to the same results
    assert "Stage 'compare' didn't change" in output


def test_what_was_not_pushed_is_passed_over_and_made_again(repository: Path, tmp_path: Path) -> None:
    share(repository, str(tmp_path / "remote"))
    dvc(repository, "push", "photographs.dvc", "prepare", "classify")
    clone = clone_of(repository)
    assert dvc(clone, "pull", check=False).returncode != 0
    dvc(clone, "pull", "--allow-missing")
    output = dvc(clone, "repro").stdout
    assert re.findall(r"^Running stage '(.*)'", output, re.MULTILINE) == ["compare", "report"]
    assert outputs(clone) == outputs(repository)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3-compatible server with an empty bucket `augury`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket="augury")
        yield url
    finally:
        server.stop()


def test_a_clone_that_pulls_from_an_s3_store_runs_nothing(repository: Path, endpoint: str) -> None:
    def find_store(checkout: Path) -> None:
        dvc(checkout, "remote", "modify", "--local", "shared", "endpointurl", endpoint)

    share(repository, "s3://augury/runs")
    find_store(repository)
    dvc(repository, "push")
    expected = outputs(repository)
    clone = clone_of(repository)
    assert endpoint not in (clone / ".dvc/config").read_text()
    find_store(clone)
    dvc(clone, "pull", "--allow-missing")
    check_nothing_runs(clone, expected)
