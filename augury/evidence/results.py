"""What the stages left behind, read when it is asked for; what is not there is named in one line."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from augury.evidence.runs import HeldOut, Runs
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json
from augury.pipeline.replicates import Replicate

Content = TypeVar("Content")


class MissingError(UserError):
    """A file that no stage has written yet."""


@dataclass(frozen=True)
class Results:
    """The files under `data`, of a replicate: JSON as it is, pictures as paths.

    Raises MissingError for one that is not there.
    """

    data: Path = Path("data")
    replicate: int = 0

    def folder(self, kind: str) -> Path:
        return Replicate(self.replicate, self.data).folder(kind)

    def comparison(self) -> dict[str, Any]:
        return read_json(_present(self.data / "comparison.json"))

    def splits(self) -> dict[str, Any]:
        return self._json("splits", "summary")

    def straddling(self) -> dict[str, Any]:
        return self._json("near_duplicates", "pairs")

    def scores(self, generator: str) -> dict[str, Any]:
        return self._json("scores", generator)

    def selection(self, generator: str) -> dict[str, Any]:
        return self._json("selection", generator)

    def generator(self, name: str) -> Path:
        """The folder of a generator, which need not be there."""
        return self.folder("generators") / name

    def config(self, generator: str) -> dict[str, Any]:
        return self._json("generators", f"{generator}/config")

    def base(self, generator: str) -> dict[str, Any] | None:
        """What others have trained and a generator began with, as data/bases has it; None of most generators."""
        path = self.generator(generator) / "base.json"
        return read_json(path) if path.exists() else None

    def training(self, generator: str) -> dict[str, Any]:
        return self._json("generators", f"{generator}/training")

    def of_arm(self, arm: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
        """What `classify` wrote for an arm, one per seed."""
        return [read_json(_present(path)) for path in self.paths_of_arm(arm, seeds)]

    def paths_of_arm(self, arm: str, seeds: Sequence[int]) -> list[Path]:
        return [self.folder("results") / arm / f"{seed}.json" for seed in seeds]

    def grounds(self, arm: str) -> dict[str, Any] | None:
        """What an arm owes to the ground; only there where a policy sets objects on other grounds.

        alone: how well grounds alone tell the class, of an arm with such copies. composites: accuracy on test images
        put together anew on their own ground, and on another. Each may be None.
        """
        path = self.folder("results") / arm / "grounds.json"
        return read_json(path) if path.exists() else None

    def predictions_path(self, arm: str) -> Path:
        return self.folder("results") / arm / "predictions.parquet"

    def costs(self) -> dict[str, dict[str, Any]]:
        """Stage -> what it took, of those that were run here."""
        return {cost["stage"]: cost for cost in map(read_json, sorted(self.data.glob("costs/*.json")))}

    def preview(self, name: str) -> Path:
        return _present(self.folder("previews") / f"{name}.png")

    def masks(self, policy: str) -> dict[str, Any]:
        """Of a policy that sets objects on other grounds: how many images of each class have a usable mask."""
        return self._json("augmented", f"{policy}/.masks/usable")

    def masks_sheet(self, policy: str) -> Path:
        """Some of them: image, mask, ground, object on another ground."""
        return _present(self.folder("augmented") / policy / ".masks/sheet.png")

    def closest(self) -> Path | None:
        """The picture of near duplicates, which is only there where there are any."""
        path = self.folder("near_duplicates") / "closest.png"
        return path if path.exists() else None

    def progress(self, generator: str) -> dict[int, Path]:
        """Training images seen -> the grid of samples of that moment, ascending."""
        paths = (self.generator(generator) / "progress").glob("kimg_*.png")
        return dict(sorted((int(1000 * float(re.sub(r"^kimg_", "", path.stem))), path) for path in paths))

    def curves(self, generator: str) -> dict[str, np.ndarray]:
        """Column -> (rows,) float64 of a generator's history; an empty cell is NaN."""
        table = np.genfromtxt(_present(self.folder("curves") / f"{generator}.csv"), delimiter=",", names=True)
        return {name: np.atleast_1d(table[name]) for name in table.dtype.names or ()}

    def runs(self, arm: str, seeds: Sequence[int], called: bool = False) -> Runs:
        """What `classify` left of an arm on test images.

        called: with what was called one of the class that the measure is about.
        """
        tried = Columns.read(self.predictions_path(arm), seeds)
        return Runs(
            results=self.of_arm(arm, seeds),
            labels=tried.labels,
            predicted=tried.each_seed("seed").astype(np.int64),
            truth=tried.each_seed("truth"),
            confidence=tried.each_seed("confidence"),
            groups=tried.groups,
            called=tried.each_seed("called").astype(bool) if called else None,
        )

    def held_out(self, arm: str, seeds: Sequence[int]) -> HeldOut:
        """What `classify` left of an arm on labelled images that were held out."""
        columns = Columns.read(self.folder("results") / arm / "held_out.parquet", seeds)
        return HeldOut(columns.labels, columns.each_seed("seed"), columns.groups)

    def _json(self, kind: str, name: str) -> Any:
        return read_json(_present(self.folder(kind) / f"{name}.json"))


@dataclass(frozen=True)
class Columns:
    """A Parquet file of `classify`: a row per image, columns per seed."""

    path: Path
    columns: Mapping[str, Any]
    seeds: Sequence[int]

    @classmethod
    def read(cls, path: Path, seeds: Sequence[int]) -> "Columns":
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not path.is_file():
            raise MissingError(f"{path}: predictions not found; run `dvc repro` to make them")
        try:
            table = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: not a readable Parquet file ({' '.join(str(error).split())})") from error
        return cls(path, dict(zip(table.column_names, table.columns, strict=True)), seeds)

    def column(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise UserError(f"{self.path}: no column {name}; run `dvc repro` to make it")
        return np.asarray(self.columns[name].to_numpy())

    def each_seed(self, kind: str) -> np.ndarray:
        return np.stack([self.column(f"{kind}_{seed}") for seed in self.seeds])

    @property
    def labels(self) -> np.ndarray:
        return self.column("label").astype(np.int64)

    @property
    def groups(self) -> np.ndarray | None:
        return numbered(self.columns["group"].to_pylist()) if "group" in self.columns else None


def numbered(groups: Iterable[str | None]) -> np.ndarray:
    """Groups by their number from 0; an image without a group is one of its own."""
    names = [f"image {row}" if name is None else f"group {name}" for row, name in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1]


def _present(path: Path) -> Path:
    if not path.exists():
        raise MissingError(f"{path}: not found; run `dvc repro` to make it")
    return path


def if_there(read: Callable[..., Content], *arguments: str) -> Content | None:
    """What a method of Results reads; None where no stage has written it yet."""
    try:
        return read(*arguments)
    except MissingError:
        return None
