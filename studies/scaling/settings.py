"""The study's params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from augury.pipeline.section import EachOnce, PositiveInt, Section, Seeds
from studies.scaling.constants import Constants, candidates
from studies.scaling.network import Shape
from studies.training import Training

AtLeastOne = Annotated[float, Field(ge=1)]


class Base(Section):
    """The network that is scaled. depths: residual blocks of each stage. widths: channels of each.

    resolution: pixels a side of the images that it sees.
    """

    depths: Annotated[list[PositiveInt], Field(min_length=1)]
    widths: Annotated[list[PositiveInt], Field(min_length=1)]
    resolution: PositiveInt

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        if len(self.depths) != len(self.widths):
            raise ValueError(f"widths: {len(self.widths)} stages, depths: {len(self.depths)}; expected as many")
        if self.resolution < self.shape.smallest:
            raise ValueError(
                f"resolution: {self.resolution} pixels, {len(self.depths)} stages need {self.shape.smallest}"
            )
        return self

    @property
    def shape(self) -> Shape:
        return Shape(tuple(self.depths), tuple(self.widths), self.resolution)


class Search(Section):
    """alphas, betas: the grid; gamma follows from alpha beta^2 gamma^2 = 2. seeds of each candidate's trainings."""

    alphas: Annotated[list[AtLeastOne], Field(min_length=1), EachOnce]
    betas: Annotated[list[AtLeastOne], Field(min_length=1), EachOnce]
    seeds: Seeds

    @model_validator(mode="after")
    def _grid_holds_something(self) -> Self:
        if len(self.constants) < 2:
            raise ValueError(
                f"alphas {self.alphas} and betas {self.betas}: fewer than two pairs have alpha beta^2 <= 2; "
                "above it gamma would be below 1"
            )
        return self

    @property
    def constants(self) -> list[Constants]:
        return candidates(self.alphas, self.betas)


class Scale(Section):
    """times: how many times the base's multiply-adds the scaled networks have. seeds of each one's trainings."""

    times: Annotated[list[Annotated[float, Field(gt=1)]], Field(min_length=1), EachOnce]
    seeds: Seeds

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if sorted(self.times) != self.times:
            raise ValueError(f"times {self.times}: expected ascending ones")
        return self


class Scaling(Section):
    """One section per step of the study, and what both steps train."""

    base: Base
    training: Training
    search: Search
    scale: Scale
