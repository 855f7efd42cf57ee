"""The study's params.yaml, and the recorded pace of the networks in pace.yaml."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augury.pipeline.errors import UserError, unknown
from augury.pipeline.section import EachOnce, Fraction, PositiveFloat, PositiveInt, Section, Seeds
from models import CLASSIFIERS
from studies.workspace import settings

PACE_FILE = "pace.yaml"
COMMAND = "python -m studies.architectures.pace"
BUDGETS = ("steps", "seconds")  # what is the same for all networks


class Architectures(Section):
    """networks: trained from a random start. transfer: trained from ImageNet's weights. resolution in pixels.

    reference: the arm of the main pipeline whose images they learn from. steps: of a training where steps are equal.
    seconds: of one where time is. learning_rates: the one with the best mean validation likelihood is used.
    """

    networks: Annotated[list[str], Field(min_length=1), EachOnce]
    transfer: Annotated[list[str], EachOnce]
    reference: str
    resolution: Annotated[int, Field(ge=32)]
    batch_size: Annotated[int, Field(ge=2)]
    steps: PositiveInt
    seconds: PositiveFloat
    learning_rates: Annotated[list[PositiveFloat], Field(min_length=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    seeds: Seeds
    confidence: Fraction

    @model_validator(mode="after")
    def _networks_are_known_and_have_weights(self) -> Self:
        for key, names in (("networks", self.networks), ("transfer", self.transfer)):
            for name in names:
                if name not in CLASSIFIERS:
                    raise ValueError(unknown(key, name, CLASSIFIERS))
        for name in self.transfer:
            if CLASSIFIERS[name].weights is None:
                raise ValueError(f"transfer: {name} has no pretrained weights")
        return self

    @property
    def all_networks(self) -> list[str]:
        """Every network that is trained, each once."""
        return list(dict.fromkeys([*self.networks, *self.transfer]))


class Pace(Section):
    """What `studies.architectures.pace` measured: seconds of an optimiser step at this resolution and batch size."""

    resolution: PositiveInt
    batch_size: PositiveInt
    device: Literal["cpu", "cuda"]
    seconds_per_step: dict[str, PositiveFloat]


def read_pace(folder: Path, study: Architectures) -> Pace:
    """pace.yaml. Raises UserError where it lacks a network, or was measured at other settings than the study's."""
    if not (folder / PACE_FILE).is_file():
        raise UserError(f"{PACE_FILE}: not found; measure with `{COMMAND}`")
    try:
        pace = settings(Pace, folder, PACE_FILE)
    except UserError as error:
        raise UserError(f"{PACE_FILE}: {error}") from error
    for key in ("resolution", "batch_size"):
        measured, asked = getattr(pace, key), getattr(study, key)
        if measured != asked:
            raise UserError(f"{key}: {PACE_FILE} was measured at {measured}, not at {asked}; measure with `{COMMAND}`")
    for name in study.all_networks:
        if name not in pace.seconds_per_step:
            raise UserError(f"networks: {PACE_FILE} has no pace of {name}; measure with `{COMMAND}`")
    return pace
