"""The study's params.yaml: regimes, and the recipes that are tried in each."""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from augury.pipeline.preparing import fewest_labels
from augury.pipeline.section import EachOnce, Fraction, Name, Section, Seeds
from augury.pipeline.sections import Arm

Weights = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]


class Budget(Section):
    """share: of the main pipeline's budget of every generator."""

    replicates: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2), EachOnce]
    share: Fraction | Annotated[float, Field(ge=1, le=1)]


class Regime(NamedTuple):
    """labels: of the largest class. tail: how many times as many as the smallest one should have, which keeps two at
    least. mode: a name of `modes`.
    """

    labels: int
    tail: int
    mode: str

    @property
    def name(self) -> str:
        return f"{self.labels}-{self.tail}-{self.mode}"

    @property
    def in_words(self) -> str:
        asked = f" (1 : {self.tail} asked for)" if self.labels != self.tail * self.fewest else ""
        return f"{self.mode} with {self.of_classes} labels{asked}"

    @property
    def fewest(self) -> int:
        """Labels of the smallest class."""
        return fewest_labels(self.labels, self.tail)

    @property
    def of_classes(self) -> str:
        """Labels of the largest and, in a tail, of the smallest class, as they are."""
        return f"{self.labels} : {self.fewest}" if self.tail > 1 else f"{self.labels}"


class Regimes(Section):
    """modes: name -> keys of the main section classify. sample: keys of that section. recipes: name -> arm; some of
    real images alone, some not.
    """

    budget: Budget
    labels_per_class: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    tails: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    modes: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    seeds: Annotated[Seeds, Field(max_length=2)]  # as many as further replicates have
    synthetic_weight: Weights
    sample: dict[str, Any]
    recipes: dict[Name, Arm]

    @model_validator(mode="after")
    def _there_is_something_to_compare(self) -> "Regimes":
        for name, keys in self.modes.items():
            if "mode" not in keys:
                raise ValueError(f"modes.{name}.mode: missing")
        for name, recipe in self.recipes.items():
            if not recipe.is_candidate or recipe.mode:
                raise ValueError(f"recipes.{name}: more_real, repeat, draw and mode have no place here")
        if not self.real_only or not self.synthetic:
            raise ValueError("recipes: expected some of real images alone, and some with synthetic images")
        return self

    @property
    def real_only(self) -> list[str]:
        return [name for name, recipe in self.recipes.items() if not recipe.synthetic]

    @property
    def synthetic(self) -> list[str]:
        return [name for name, recipe in self.recipes.items() if recipe.synthetic]

    def recipes_in(self, mode: str) -> dict[str, Arm]:
        """Those that can be tried in a mode: a head on frozen features has but one use for synthetic images."""
        head = self.modes[mode]["mode"] == "head"
        return {name: recipe for name, recipe in self.recipes.items() if recipe.use == "labelled" or not head}

    def regimes(self) -> Iterator[Regime]:
        """Mode by mode, tail by tail, the fewest labels first."""
        for mode in self.modes:
            for tail in sorted(self.tails):
                for labels in sorted(self.labels_per_class):
                    yield Regime(labels, tail, mode)
