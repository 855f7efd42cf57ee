"""What the sections of params.yaml have in common: frozen, strict, and numbers within their ranges."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
# A name becomes a file name and a DVC stage name.
Name = Annotated[str, Field(pattern=r"^[a-z0-9_+]+$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
