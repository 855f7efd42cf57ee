"""The section of params.yaml about where the labelled images come from, and how they are split."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augury.pipeline.errors import unknown
from augury.pipeline.section import Fraction, PositiveInt, Section

FOLDER_SOURCES = ("imagefolder", "parquet", "csv")  # whose images are whatever lies in prepare.folder
SOURCE_NAMES = ("fashion_mnist", "digits", *FOLDER_SOURCES, "torchvision:NAME")


def fewest_labels(labels: int, ratio: float) -> int:
    """Labels of the smallest class of a tail that is made: the largest one's by the ratio, but two at least."""
    return max(2, round(labels / ratio))


def check_intensity(key: str, values: Sequence[float] | None) -> None:
    """Raise ValueError unless they are the value of black, then a larger one of white; None is neither."""
    if values is not None and not values[0] < values[1]:
        raise ValueError(f"{key}: {values}: expected the value of black, then a larger one of white")


class Prepare(Section):
    """Where the labelled images come from, and how they are split.

    source, folder: see `augury.sources`. class_level: how many folders down from there, or from a split's, those of the
    classes are. links_into: another folder that links in it may lead into. label_column: of a csv or parquet source.
    intensity: the values that become black and white where images have more than eight bits; None: by what all of them
    hold. group_column, group_pattern: images of one group stay on one side of every split; the group is a column's
    value, or what a regular expression finds in the file's path. near_duplicates: what is done about images of two
    splits that look the same. proportions: whether labels_per_class is the budget of each class, or of the largest one
    of the source. imbalance_ratio: how many times as many labels the first class has as the last.
    redraw: what replicates differ in, beside trainings: the labels drawn, with one test split for all, or the part of
    the images that is tested.
    """

    source: str
    folder: str
    class_level: PositiveInt | None
    links_into: str | None
    label_column: str
    image_size: PositiveInt
    color: Literal["auto", "gray", "rgb"]
    intensity: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    labels_per_class: Annotated[int, Field(ge=2)] | None
    validation_fraction: Fraction
    test_fraction: Fraction
    group_column: str | None
    group_pattern: str | None
    near_duplicates: Literal["report", "keep_together", "ignore"]
    proportions: Literal["equal", "natural"]
    imbalance_ratio: Annotated[float, Field(ge=1)] | None
    held_back: Annotated[float, Field(ge=0)]
    redraw: Literal["labels", "folds"]
    unreadable: Literal["stop", "skip"]

    @property
    def folds(self) -> int:
        """Parts of the images that are the test split in turn, as large as test_fraction."""
        return round(1 / self.test_fraction)

    @model_validator(mode="after")
    def _size_suits_the_generators(self) -> Self:
        allowed = [base * 2**level for level in range(1, 8) for base in (4, 5, 6, 7)]
        if self.image_size not in allowed:
            nearest = sorted(sorted(allowed, key=lambda size: abs(size - self.image_size))[:4])
            raise ValueError(
                f"image_size {self.image_size} is not 4, 5, 6 or 7 times a power of two; nearest allowed: "
                + ", ".join(map(str, nearest))
            )
        if self.imbalance_ratio is not None and self.labels_per_class is None:
            raise ValueError("imbalance_ratio needs labels_per_class, the budget of the largest class")
        if self.imbalance_ratio is not None and self.proportions == "natural":
            raise ValueError("imbalance_ratio: proportions natural says already how labels are shared out")
        return self

    @model_validator(mode="after")
    def _black_is_below_white(self) -> Self:
        check_intensity("intensity", self.intensity)
        return self

    @model_validator(mode="after")
    def _several_folds(self) -> Self:
        if self.redraw == "folds" and self.folds < 2:
            raise ValueError(f"test_fraction: {self.test_fraction:g} leaves no second fold; choose 0.5 or less")
        return self

    @model_validator(mode="after")
    def _known_source(self) -> Self:
        if self.source not in SOURCE_NAMES[:-1] and not re.fullmatch(r"torchvision:\w+", self.source):
            raise ValueError(unknown("source", self.source, SOURCE_NAMES))
        return self

    @model_validator(mode="after")
    def _one_way_to_group(self) -> Self:
        if self.group_column is not None and self.group_pattern is not None:
            raise ValueError("group_pattern: group_column says already how images are grouped; choose one")
        if self.group_column is not None and self.source not in ("csv", "parquet"):
            raise ValueError(f"group_column: source {self.source} has no columns; choose group_pattern")
        if self.group_pattern is not None:
            try:
                re.compile(self.group_pattern)
            except re.error as error:
                raise ValueError(f"group_pattern: {self.group_pattern!r} is no regular expression ({error})") from error
        return self
