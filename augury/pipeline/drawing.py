"""How images are drawn from a trained generator, where they start, and which are kept: `sample` in params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augury.pipeline.section import Fraction, PositiveFloat, PositiveInt, Section

# Generator -> where its images may start from, the prior being noise, and of a pretrained model its prompt.
STRATEGIES = {
    "dcgan": ("prior", "interpolation", "extrapolation"),
    "stylegan": ("prior", "interpolation", "extrapolation", "style_mixing"),
    "vae": ("prior", "image", "interpolation", "extrapolation"),
    "diffusion": ("prior", "image"),
}
Strategy = Literal["prior", "image", "interpolation", "extrapolation", "style_mixing"]
PAIRING = ("interpolation", "extrapolation", "style_mixing")  # strategies that start from two training images
DENOISING = ("diffusion",)  # generators that noise an image to a strength, and take guidance and steps
PRETRAINED_STEPS = 25  # of the denoiser of a pretrained model, where `steps` does not say


class Drawing(Section):
    """How images are drawn from one generator; what is None is the generator's own default.

    spread: scale of the latent's distance from its average: below 1 truncates, above 1 expands.
    strategy: where images start: from the prior (None too), or from training images: image (one of them, altered),
    interpolation (between two of a class), extrapolation (beyond the second one), style_mixing (coarse styles of one,
    fine ones of another).
    strengths: how noisy `image` makes them before it denoises, in (0, 1); the images of a class take turns.
    prior_share: of images that start from the prior all the same. sources: whether training images are of the class
    that is drawn (None too), or of others.
    guidance: 1 follows the label or prompt, more exaggerates it. steps: of the denoiser, for strength 1.
    """

    spread: PositiveFloat = 1.0
    strategy: str | None = None  # of the generator's STRATEGIES, which Params knows
    strengths: Annotated[list[Fraction], Field(min_length=1)] | None = None
    prior_share: Fraction | None = None
    sources: Literal["own", "other"] | None = None
    guidance: Annotated[float, Field(ge=1)] | None = None
    steps: PositiveInt | None = None

    @property
    def from_images(self) -> bool:
        return self.strategy not in (None, "prior")

    @property
    def pairs(self) -> bool:
        """Whether an image starts from two training images."""
        return self.strategy in PAIRING

    @property
    def options(self) -> dict[str, float]:
        """What the network's `sample` takes, whatever an image starts from."""
        return self.model_dump(include={"spread", "guidance", "steps"}, exclude_none=True)

    @model_validator(mode="after")
    def _starts_from_images(self) -> Self:
        if not self.from_images:
            for key in ("strengths", "prior_share", "sources"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: means nothing where all images start from the prior; set strategy")
        elif self.sources == "other" and self.strategy != "image":
            raise ValueError(f"sources: {self.strategy} is between images of the class; choose own, or strategy image")
        return self


class Filter(Section):
    """Which generated images are kept; see `augury.heads.selection`.

    keep: the first ones of whose class a head is confident, or of those that an ensemble of heads allows, the ones
    that its heads dispute, or that are near training images which are hard. outlier_quantile: what share of held-out
    real images those rules would refuse. soft_labels: whether classifiers learn from the ensemble's probabilities of an
    image in place of the class that was asked for.
    """

    min_confidence: Annotated[float, Field(ge=0, lt=1)]
    near_copy_quantile: Annotated[float, Field(ge=0, lt=1)]
    max_draws: Annotated[float, Field(ge=1)]
    keep: Literal["confident", "disputed", "hard"] = "confident"
    outlier_quantile: Annotated[float, Field(ge=0, lt=1)] = 0.05
    soft_labels: bool = False

    @property
    def refuses(self) -> bool:
        """Whether any image may be."""
        of_class = self.min_confidence if self.keep == "confident" else self.outlier_quantile
        return of_class > 0 or self.near_copy_quantile > 0

    @property
    def advice(self) -> str:
        """What to do where nothing passes."""
        return f"lower {'min_confidence' if self.keep == 'confident' else 'outlier_quantile'} or near_copy_quantile"
