"""What the sections of params.yaml have in common: frozen, strict, and numbers within their ranges."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError


def _each_once(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("twice", "Holds a value twice")
    return values


EachOnce = AfterValidator(_each_once)  # of a list
Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seeds = Annotated[list[Seed], Field(min_length=2), EachOnce]
# A name becomes a file name and a DVC stage name.
Name = Annotated[str, Field(pattern=r"^[a-z0-9_+]+$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
