"""The study's params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from augury.pipeline.section import Seeds
from augury.pipeline.sections import PositiveFloat, PositiveInt, Section, Transform
from studies.training import Training


class Segmentation(Section):
    """images, masks: folders, as the user gives them. group_pattern: what a file's path says of who belongs together.

    train, test: images, at most. multiply_adds: millions for one image. copies: of each image, by `policy` and with
    other grounds. matters: points of intersection over union.
    """

    images: str | None
    masks: str | None
    group_pattern: str | None
    resolution: Annotated[int, Field(ge=16, multiple_of=4)]
    train: Annotated[int, Field(ge=2)]
    test: Annotated[int, Field(ge=2)]
    multiply_adds: PositiveFloat
    training: Training
    seeds: Seeds
    copies: PositiveInt
    policy: Annotated[list[Transform], Field(min_length=1)]
    matters: PositiveFloat

    @model_validator(mode="after")
    def _masks_and_groups_are_of_images(self) -> Self:
        for key in ("masks", "group_pattern"):
            if self.images is None and getattr(self, key) is not None:
                raise ValueError(f"{key}: is of photographs; name their folder in images")
        return self
