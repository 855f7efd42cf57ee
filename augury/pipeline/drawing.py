"""How images are drawn from a trained generator, and where they start: `sample.generators` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from augury.pipeline.section import Fraction, PositiveFloat, PositiveInt, Section

# Generator -> where its images may start from, the prior being noise, and of a pretrained model its prompt.
STRATEGIES = {
    "dcgan": ("prior",),
    "stylegan": ("prior",),
    "vae": ("prior", "image", "interpolation", "extrapolation"),
    "diffusion": ("prior", "image"),
}
Strategy = Literal["prior", "image", "interpolation", "extrapolation"]
PAIRING = ("interpolation", "extrapolation")  # strategies that start from two training images
DENOISING = ("diffusion",)  # generators that noise an image to a strength, and take guidance and steps


class Drawing(Section):
    """How images are drawn from one generator; what is None is the generator's own default.

    spread: scale of the latent's distance from its average: below 1 truncates, above 1 expands.
    strategy: where images start: from the prior (None too), or from training images: image (one of them, altered),
    interpolation (between two of a class), extrapolation (beyond the second one).
    strengths: how noisy `image` makes them before it denoises, in (0, 1); the images of a class take turns.
    prior_share: of images that start from the prior all the same. sources: whether training images are of the class
    that is drawn (None too), or of others.
    guidance: 1 follows the label or prompt, more exaggerates it. steps: of the denoiser, for strength 1.
    """

    spread: PositiveFloat = 1.0
    strategy: Strategy | None = None
    strengths: Annotated[list[Fraction], Field(min_length=1)] | None = None
    prior_share: Fraction | None = None
    sources: Literal["own", "other"] | None = None
    guidance: Annotated[float, Field(ge=1)] | None = None
    steps: PositiveInt | None = None

    @property
    def from_images(self) -> bool:
        return self.strategy not in (None, "prior")

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
