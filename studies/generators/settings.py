"""The study's params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from augury.pipeline.errors import unknown
from augury.pipeline.section import EachOnce, PositiveFloat, PositiveInt, Section
from studies.generators.variants import VARIANTS

SCORES = ("fd", "kid", "precision", "recall")
SCORE_KEYS = tuple(key for score in SCORES for key in (score, f"{score}_floor"))  # what `ablation` writes of them


class Budget(Section):
    """trainings of each variant, from different seeds. The rest is as in `train_gan`, and the same for all variants."""

    trainings: PositiveInt
    total_kimg: PositiveFloat
    snapshot_every_kimg: PositiveFloat
    ema_halflife_kimg: PositiveFloat
    width: PositiveInt


class Scores(Section):
    """per_class: images drawn of each class. halvings of the real images over which scores are averaged."""

    per_class: Annotated[int, Field(ge=2)]
    halvings: PositiveInt


class Strips(Section):
    """columns: snapshots of a training, evenly chosen. rows: classes."""

    columns: Annotated[int, Field(ge=2)]
    rows: PositiveInt


class Generators(Section):
    """reference: the arm of the main pipeline that images are added to, `ratio` of them per real training image.

    variants: keys of VARIANTS, each with the one that it is compared with.
    """

    reference: str
    ratio: PositiveFloat
    variants: Annotated[list[str], Field(min_length=2), EachOnce]
    training: Budget
    scores: Scores
    strips: Strips

    @model_validator(mode="after")
    def _variants_are_known_and_have_their_base(self) -> Self:
        for name in self.variants:
            if name not in VARIANTS:
                raise ValueError(unknown("variants", name, VARIANTS))
            if (base := VARIANTS[name].base) is not None and base not in self.variants:
                raise ValueError(f"variants: {name!r} is compared with {base!r}, which is not among them")
        return self
