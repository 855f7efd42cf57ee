"""The sections of params.yaml that trainings of generators go by."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from augury.pipeline.section import PositiveFloat, PositiveInt, Section

Sampling = Literal["images", "classes"]


class Budget(Section):
    """What every generator's training has, in thousands of images."""

    total_kimg: Annotated[float, Field(ge=0)]
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    snapshot_every_kimg: PositiveFloat
    patience: PositiveInt | None  # so many snapshots without a nearer one end training; None: all are made
    sampling: Sampling = "images"  # which of them are drawn equally often


class Training(Budget):
    """Of a generator that knows nothing else."""

    network: dict[str, Any]  # checked against the network's own Config
    total_kimg: PositiveFloat
    ema_halflife_kimg: PositiveFloat


class GanTraining(Training):
    """discriminator: the architecture's own, or one on features of EfficientNet-Lite0 (models/projected.py), which sees
    images at projected_resolution pixels, a multiple of 32.
    """

    adam_betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    discriminator_learning_rate: PositiveFloat | None = None  # None: as the generator's
    objective: Literal["hinge", "logistic"]
    r1_gamma: Annotated[float, Field(ge=0)] = 0.0
    r1_every: PositiveInt = 16
    path_length_weight: Annotated[float, Field(ge=0)] = 0.0
    path_length_every: PositiveInt = 8
    ada_target: Annotated[float, Field(gt=-1, lt=1)] | None = None
    diffaugment: list[Literal["brightness", "saturation", "contrast", "translation", "cutout"]]
    discriminator: Literal["own", "projected"] = "own"
    projected_resolution: Annotated[int, Field(ge=32, multiple_of=32)] = 32

    @model_validator(mode="after")
    def _projected_is_flat_already(self) -> Self:
        if self.discriminator == "projected" and self.r1_gamma > 0:
            raise ValueError(
                f"r1_gamma: {self.r1_gamma:g}: a projected discriminator is kept flat by spectral normalisation, and a "
                "gradient's gradient through its features costs more than a step; set it to 0"
            )
        return self

    @model_validator(mode="after")
    def _one_augmentation(self) -> Self:
        if self.ada_target is not None and self.diffaugment:
            raise ValueError("ada_target: adaptive augmentation takes the place of diffaugment, which must be []")
        return self


class TrainVae(Training):
    kl_weight: PositiveFloat
    edge_weight: Annotated[float, Field(ge=0)]
    warmup_kimg: Annotated[float, Field(ge=0)]


class TrainPretrained(Budget):
    """How a pretrained text-to-image model is adapted.

    base: its folder, in diffusers' layout. base_licence: of the base, which the cards name. prompt: what it is asked
    for, {name} standing for the class; names: class -> what it is called there, where that is not its own name.
    resolution: pixels, at which the base draws. rank: of the adapter. precision: of the base's weights. total_kimg: 0
    leaves the base as it came. warmup_kimg: the learning rate rises for so long, then falls to 0 by a cosine.
    caption_dropout: share of images shown without their prompt. sampling_batch: images drawn at a time.
    gradient_checkpointing: less memory, more time.
    """

    base: Annotated[str, Field(min_length=1)]
    base_licence: str
    prompt: str = "a photo of a {name}"
    names: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    resolution: Annotated[int, Field(gt=0, multiple_of=16)] = 512
    rank: PositiveInt = 16
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    total_kimg: Annotated[float, Field(ge=0)] = 16.0
    batch_size: PositiveInt = 8
    learning_rate: PositiveFloat = 0.0001
    warmup_kimg: Annotated[float, Field(ge=0)] = 0.4
    snapshot_every_kimg: PositiveFloat = 4.0
    patience: PositiveInt | None = None
    caption_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    sampling_batch: PositiveInt = 8
    gradient_checkpointing: bool = True

    @model_validator(mode="after")
    def _can_be_passed_on(self) -> Self:
        if not self.base.strip():
            raise ValueError("base: empty; name the folder of a model, such as `python -m augury fetch-base` leaves")
        if self.base.startswith("~"):
            raise ValueError(f"base: {self.base}: ~ is not expanded, as DVC would not; write the folder out")
        if not self.base_licence.strip():
            raise ValueError("base_licence: empty; find out the licence of the base, such as creativeml-openrail-m")
        if "{name}" not in self.prompt:
            raise ValueError(f"prompt: {self.prompt!r} has no {{name}}, and would be the same for every class")
        return self
