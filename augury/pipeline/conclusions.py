"""The sections of params.yaml about what is concluded from results: compare, report, cards."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticCustomError

from augury.pipeline.errors import check_known
from augury.pipeline.section import Fraction, PositiveFloat, PositiveInt, Section

TAIL = 2.0  # labels of the largest over those of the smallest class, above which classes are a long tail


class RecallAt(Section):
    """Recall of a class at the threshold that has this precision on folds."""

    recall_of: Annotated[str, Field(min_length=1)]
    precision: Fraction

    def label(self, class_names: Sequence[str]) -> int:
        """The number of its class. Raises UserError where there is no such class."""
        check_known("compare.measure.recall_of", self.recall_of, class_names)
        return class_names.index(self.recall_of)


class Compare(Section):
    """reference: the arm over which others gain. measure: by which. matters: the smallest gain worth having, in points.

    confidence: of intervals, and 1 less the share of false verdicts. resamples: of the test images, for the intervals
    of what is not the measure.
    """

    reference: str
    measure: Literal["accuracy", "balanced_accuracy", "rarest_third", "macro_f1"] | RecallAt
    matters: PositiveFloat
    confidence: Fraction
    resamples: Annotated[int, Field(ge=100)]

    @field_validator("measure", mode="wrap")
    @classmethod
    def _one_fault(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        """A wrong measure is one fault, rather than one for each kind of measure that it is not."""
        try:
            return handler(value)
        except ValidationError as error:
            allowed = (
                "accuracy, balanced_accuracy, rarest_third, macro_f1, {recall_of: CLASS, precision: between 0 and 1}"
            )
            raise PydanticCustomError("measure", f"Choose from {allowed}") from error


class Report(Section):
    progress_grids: PositiveInt
    price_per_second: PositiveFloat | None
    price_per_label: PositiveFloat | None
    currency: Annotated[str, Field(min_length=1, max_length=8)]


class Cards(Section):
    """What only the user knows about the images, for the cards that go with data sets and generators.

    title: of the real data set. licence: an identifier of SPDX, in lower case as the Hugging Face Hub has them.
    attribution: whose they are and where they come from. Null: what the source is known by, where it is.
    """

    title: Annotated[str, Field(min_length=1)] | None
    licence: Annotated[str, Field(pattern=r"^[a-z0-9.+-]+$")] | None
    attribution: Annotated[str, Field(min_length=1)] | None
