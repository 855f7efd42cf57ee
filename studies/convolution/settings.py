"""The study's params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from augury.pipeline.errors import unknown
from augury.pipeline.section import Name, PositiveFloat, PositiveInt, Section, Seeds
from models import CLASSIFIERS
from studies.training import Training

Sizes = Annotated[list[PositiveInt], Field(min_length=1)]


class Classifier(Section):
    """pretrained: with ImageNet's weights as they are; otherwise trained from a random start. resolution in pixels."""

    pretrained: bool
    resolution: PositiveInt


class Look(Section):
    """image: row of the validation split whose feature maps are shown. levels: depths that are looked at.

    maps: channels shown of each level. channels: those that are driven high; strongest: training images beside each.
    steps, step_size: of gradient ascent. images: of validation, over which receptive fields are measured.
    """

    image: Annotated[int, Field(ge=0)]
    levels: Annotated[int, Field(ge=2)]
    maps: PositiveInt
    channels: PositiveInt
    strongest: PositiveInt
    steps: PositiveInt
    step_size: PositiveFloat
    images: PositiveInt


class Ablation(Section):
    """resolution: pixels at which every variant sees the images. seeds of each variant's trainings."""

    resolution: Annotated[int, Field(ge=8)]
    seeds: Seeds


class Arithmetic(Section):
    """The grid over which output sizes are compared with PyTorch's, all in pixels."""

    sizes: Sizes
    kernels: Sizes
    strides: Sizes
    paddings: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    dilations: Sizes


class Convolution(Section):
    """One section per step of the study, and what two of them train alike. classifiers: keys of CLASSIFIERS."""

    classifiers: Annotated[dict[Name, Classifier], Field(min_length=1)]
    training: Training
    look: Look
    ablation: Ablation
    arithmetic: Arithmetic

    @model_validator(mode="after")
    def _classifiers_are_known_and_have_weights(self) -> Self:
        for name, classifier in self.classifiers.items():
            if name not in CLASSIFIERS:
                raise ValueError(unknown("classifiers", name, CLASSIFIERS))
            if classifier.pretrained and CLASSIFIERS[name].weights is None:
                raise ValueError(f"classifiers.{name}.pretrained: {name} has no pretrained weights; set it to false")
        return self
