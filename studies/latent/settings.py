"""The study's params.yaml."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from augury.pipeline.section import PositiveFloat, PositiveInt, Section

PLAIN = "plain"  # as the generator draws its latents: what methods are compared with, beside the reference arm


class Walks(Section):
    """steps: images from one end of a walk to the other. rows: classes in a picture. pairs: analogies.

    candidates: latents among which a MINE grid's neighbours are sought. side: neighbours along a side of that grid.
    between: images interpolated between two of them. measured: walks, and pairs of styles, that numbers are taken over.
    """

    steps: Annotated[int, Field(ge=3)]
    rows: Annotated[int, Field(ge=2)]
    pairs: PositiveInt
    candidates: PositiveInt
    side: Annotated[int, Field(ge=2)]
    between: Annotated[int, Field(ge=0)]
    measured: PositiveInt


class Truncation(Section):
    """spreads: as `sample.generators.<name>.spread`, 1 among them. per_class: images of each class at every spread.

    halvings of the real images over which scores are averaged, and resamples of their intervals, as in `score`.
    """

    spreads: Annotated[list[PositiveFloat], Field(min_length=2)]
    per_class: Annotated[int, Field(ge=2)]
    halvings: PositiveInt
    resamples: Annotated[int, Field(ge=20)]

    @model_validator(mode="after")
    def _has_the_spread_of_training(self) -> Self:
        if 1 not in self.spreads:
            raise ValueError("spreads: 1, that of training, has to be among them, for the others to be compared with")
        return self


class Boundaries(Section):
    """per_class images of each class fit a boundary, held_out_per_class further ones try it.

    share: of each class, those with the least and those with the most of an attribute. penalty: scikit-learn's C.
    """

    per_class: Annotated[int, Field(ge=10)]
    held_out_per_class: Annotated[int, Field(ge=10)]
    share: Annotated[float, Field(gt=0, le=0.5)]
    penalty: PositiveFloat


class Edits(Section):
    """per_class images of each class are edited and measured, `shown` of all are in a strip.

    steps: in standard deviations of the latents along the edit, ascending, 0 among them.
    """

    per_class: PositiveInt
    shown: PositiveInt
    steps: Annotated[list[float], Field(min_length=3)]

    @model_validator(mode="after")
    def _steps_go_both_ways(self) -> Self:
        if 0 not in self.steps or any(after <= before for before, after in pairwise(self.steps)):
            raise ValueError(f"steps {self.steps}: expected ascending ones, 0 among them")
        return self


class Augmentation(Section):
    """reference: the arm of the main pipeline that synthetic images are added to, `ratio` of them per real one.

    jitter: standard deviation of the random step along each attribute's edit, in those of the latents.
    """

    reference: str
    ratio: PositiveFloat
    jitter: PositiveFloat


class Latent(Section):
    """One section per step of the study. generators: those of the main pipeline that are looked at.

    attributes: keys of ATTRIBUTES in attributes.py.
    """

    generators: Annotated[list[str], Field(min_length=1)]
    walks: Walks
    truncation: Truncation
    attributes: Annotated[list[str], Field(min_length=2)]
    boundaries: Boundaries
    edits: Edits
    augmentation: Augmentation
