"""Outputs appear whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augury.pipeline.outputs import read_json, whole_directory, whole_file, write_csv, write_json
from tests import CHECKOUT


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "table.csv"
    with whole_file(path) as partial:
        assert partial.suffix == ".csv"
        assert partial.parent == path.parent
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names(path.parent) == ["table.csv"]


def test_a_file_keeps_its_former_content_until_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("former")
    with whole_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "former"
    assert path.read_text() == "new"


@pytest.mark.parametrize("former", [None, "former"])
@pytest.mark.parametrize("problem", [OSError, KeyboardInterrupt])
def test_after_an_exception_a_file_is_as_before(
    tmp_path: Path, former: str | None, problem: type[BaseException]
) -> None:
    path = tmp_path / "table.csv"
    if former is not None:
        path.write_text(former)
    with pytest.raises(problem), whole_file(path) as partial:  # noqa: PT012
        partial.write_text("ha")
        raise problem
    assert names(tmp_path) == ([] if former is None else ["table.csv"])
    assert former is None or path.read_text() == former


def test_a_folder_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "new" / "set"
    with whole_directory(path) as partial:
        (partial / "progress").mkdir()
        (partial / "progress" / "grid.png").write_text("whole")
        assert not path.exists()
    assert (path / "progress" / "grid.png").read_text() == "whole"
    assert names(path.parent) == ["set"]


def test_a_folder_is_replaced_and_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "set"
    path.mkdir()
    (path / "00000-of-00001.parquet").write_text("former")
    with whole_directory(path) as partial:
        (partial / "00000-of-00002.parquet").write_text("new")
        assert names(path) == ["00000-of-00001.parquet"]
    assert names(path) == ["00000-of-00002.parquet"]


@pytest.mark.parametrize("former", [None, "former"])
@pytest.mark.parametrize("problem", [OSError, KeyboardInterrupt])
def test_after_an_exception_a_folder_is_as_before(
    tmp_path: Path, former: str | None, problem: type[BaseException]
) -> None:
    path = tmp_path / "set"
    if former is not None:
        path.mkdir()
        (path / "shard").write_text(former)
    with pytest.raises(problem), whole_directory(path) as partial:  # noqa: PT012
        (partial / "shard").write_text("ha")
        raise problem
    assert names(tmp_path) == ([] if former is None else ["set"])
    assert former is None or (path / "shard").read_text() == former


KILLED = """
import os, signal
from pathlib import Path
from augury.pipeline.outputs import whole_directory, whole_file
with whole_directory(Path("set")) as folder, whole_file(Path("table.csv")) as file:
    (folder / "half").write_text("ha")
    file.write_text("half, and longer than what comes after")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_leaves_is_hidden_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("former")
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, env={"PYTHONPATH": str(CHECKOUT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "table.csv").read_text() == "former"
    assert not (tmp_path / "set").exists()

    with whole_directory(tmp_path / "set") as folder, whole_file(tmp_path / "table.csv") as file:
        (folder / "whole").write_text("whole")
        file.write_text("new")
    assert names(tmp_path) == ["set", "table.csv"]
    assert names(tmp_path / "set") == ["whole"]
    assert (tmp_path / "table.csv").read_text() == "new"


ANOTHER = """
import sys
from pathlib import Path
from augury.pipeline.outputs import whole_directory, whole_file
with whole_directory(Path("set"), shared=True) as folder, whole_file(Path("table.csv"), shared=True) as file:
    (folder / "image").write_text("another's")
    file.write_text("another's")
    if "kill" in sys.argv:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


def another(folder: Path, *arguments: str) -> None:
    """A second process that writes the same shared file and folder."""
    subprocess.run([sys.executable, "-c", ANOTHER, *arguments], cwd=folder, env={"PYTHONPATH": str(CHECKOUT)})


@pytest.mark.parametrize("damaged", [False, True])
def test_two_may_write_what_they_share_at_once(tmp_path: Path, damaged: bool) -> None:
    if damaged:
        (tmp_path / "set").mkdir()
        (tmp_path / "set/half").touch()
    with (
        whole_directory(tmp_path / "set", shared=True) as folder,
        whole_file(tmp_path / "table.csv", shared=True) as file,
    ):
        assert file.suffix == ".csv"
        (folder / "image").write_text("own")
        file.write_text("own")
        another(tmp_path)
        assert (tmp_path / "table.csv").read_text() == "another's"
    assert (tmp_path / "set/image").read_text() == "another's"  # where somebody may be reading it by now
    assert (tmp_path / "table.csv").read_text() == "own"
    assert names(tmp_path) == ["set", "table.csv"]
    assert names(tmp_path / "set") == ["image"]


def test_a_damaged_shared_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/half").touch()
    another(tmp_path)
    assert names(tmp_path / "set") == ["image"]


def test_after_an_exception_nothing_shared_is_left(tmp_path: Path) -> None:
    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt),
        whole_directory(tmp_path / "set", shared=True) as folder,
        whole_file(tmp_path / "table.csv", shared=True) as file,
    ):
        (folder / "half").touch()
        file.touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_what_a_kill_leaves_of_what_is_shared_goes_after_a_day(tmp_path: Path) -> None:
    another(tmp_path, "kill")
    left = names(tmp_path)
    assert len(left) == 2
    assert all(name.startswith(".partial-") for name in left)
    another(tmp_path)
    assert names(tmp_path) == [*left, "set", "table.csv"]  # of whoever may still be at it
    for name in left:
        os.utime(tmp_path / name, (0, 0))
    another(tmp_path)
    assert names(tmp_path) == ["set", "table.csv"]


def test_json_has_a_stable_layout(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.json"
    content = {"seed": 3, "accuracy": 0.1 + 0.2, "fid": None, "per_class": [1.0, 1e-12], "name": "ü"}
    for _ in range(2):
        write_json(path, content)
        assert path.read_bytes() == (
            b'{\n  "seed": 3,\n  "accuracy": 0.30000000000000004,\n  "fid": null,\n'
            b'  "per_class": [\n    1.0,\n    1e-12\n  ],\n  "name": "\\u00fc"\n}\n'
        )
    assert names(path.parent) == ["result.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_is_not_a_number(tmp_path: Path, value: float) -> None:
    path = tmp_path / "result.json"
    path.write_text("former")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"arms": {"none": {"gain_ci": [0.0, value]}}})
    assert path.read_text() == "former"
    assert names(tmp_path) == ["result.json"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(content=json_values)
def test_json_comes_back_as_written(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, content)
    assert read_json(path) == content


def test_a_table_keeps_floats_in_full_and_leaves_unknown_cells_empty(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    write_csv(path, ("arm", "accuracy"), [("a+b", 0.1 + 0.2), ('with a , and a "', None), ("c", np.float64(1e-17))])
    assert path.read_bytes() == b'arm,accuracy\na+b,0.30000000000000004\n"with a , and a """,\nc,1e-17\n'
