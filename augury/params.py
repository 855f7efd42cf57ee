"""params.yaml as frozen, typed sections. An unknown, missing or mistyped key is an error that says what is allowed."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from augury.errors import UserError
from augury.explanations import explain, unknown

PARAMS_FILE = Path("params.yaml")

Config = TypeVar("Config")
Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
# A name becomes a file name and a DVC stage name.
Name = Annotated[str, Field(pattern=r"^[a-z0-9_+]+$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Prepare(Section):
    source: Literal["fashion_mnist", "digits", "imagefolder"]
    folder: str
    image_size: PositiveInt
    color: Literal["auto", "gray", "rgb"]
    labels_per_class: Annotated[int, Field(ge=2)] | None
    validation_fraction: Fraction
    test_fraction: Fraction
    imbalance_ratio: Annotated[float, Field(ge=1)] | None
    held_back: Annotated[float, Field(ge=0)]
    unreadable: Literal["stop", "skip"]

    @model_validator(mode="after")
    def _size_suits_the_generators(self) -> Self:
        allowed = [base * 2**level for level in range(1, 8) for base in (4, 5, 6, 7)]
        if self.image_size not in allowed:
            nearest = sorted(sorted(allowed, key=lambda size: abs(size - self.image_size))[:4])
            raise ValueError(
                f"image_size {self.image_size} is not 4, 5, 6 or 7 times a power of two; nearest allowed: "
                + ", ".join(map(str, nearest))
            )
        if self.imbalance_ratio is not None and self.labels_per_class is None:
            raise ValueError("imbalance_ratio needs labels_per_class, the budget of the largest class")
        return self


class Transform(Section):
    name: str
    kwargs: dict[str, Any] = {}


class Augment(Section):
    copies: PositiveInt
    policies: Annotated[dict[Name, Annotated[list[Transform], Field(min_length=1)]], Field(min_length=1)]


class Training(Section):
    """What every generator's training has. Budgets are in thousands of images."""

    network: dict[str, Any]  # checked against the network's own Config
    total_kimg: PositiveFloat
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    ema_halflife_kimg: PositiveFloat
    snapshot_every_kimg: PositiveFloat


class GanTraining(Training):
    adam_betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)]
    discriminator_learning_rate: PositiveFloat | None = None  # None: as the generator's
    objective: Literal["hinge", "logistic"]
    r1_gamma: Annotated[float, Field(ge=0)] = 0.0
    r1_every: PositiveInt = 16
    path_length_weight: Annotated[float, Field(ge=0)] = 0.0
    path_length_every: PositiveInt = 8
    ada_target: Annotated[float, Field(gt=-1, lt=1)] | None = None
    diffaugment: list[Literal["brightness", "saturation", "contrast", "translation", "cutout"]]

    @model_validator(mode="after")
    def _one_augmentation(self) -> Self:
        if self.ada_target is not None and self.diffaugment:
            raise ValueError("ada_target: adaptive augmentation takes the place of diffaugment, which must be []")
        return self


class TrainVae(Training):
    kl_weight: PositiveFloat
    edge_weight: Annotated[float, Field(ge=0)]
    warmup_kimg: Annotated[float, Field(ge=0)]


class Drawing(Section):
    """How images are drawn from one generator; what is None is the generator's own default.

    spread: scale of the latent's distance from its average: below 1 truncates, above 1 expands.
    strategy: where a VAE's latents come from.
    """

    spread: PositiveFloat = 1.0
    strategy: Literal["prior", "posterior", "interpolation", "extrapolation"] | None = None


class Filter(Section):
    min_confidence: Annotated[float, Field(ge=0, lt=1)]
    near_copy_quantile: Annotated[float, Field(ge=0, lt=1)]
    max_draws: Annotated[float, Field(ge=1)]


class Sample(Section):
    generators: Annotated[dict[Name, Drawing], Field(min_length=1)]
    per_class: PositiveInt
    batch_size: PositiveInt
    filter: Filter


class FeatureExtractor(Section):
    """How images become features. weights: a file, `auto` where they are to be found, or `off`."""

    weights: str = "auto"
    resolution: Annotated[int, Field(ge=28)] | None = None  # None: the extractor's own


class Score(Section):
    extractors: Annotated[dict[Name, FeatureExtractor], Field(min_length=1)]
    halvings: PositiveInt
    resamples: Annotated[int, Field(ge=20)]
    neighbours: PositiveInt
    most_images: Annotated[int, Field(ge=100)]


class Head(Section):
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    l2_penalties: Annotated[list[PositiveFloat], Field(min_length=1)]


class FineTune(Section):
    """Training of the backbone's own weights, for the modes partial, full and scratch.

    weight_decays: the one with the best validation likelihood is used. layer_decay: learning rate of a stage, as a
    share of that of the stage after it. warmup, unfreezing: shares of the steps in which the learning rate rises, and
    in which stages begin to learn one after the other, the last first. trained_stages: those that `partial` trains.
    evaluations: how often the network is tried on validation; the best of these is used.
    """

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decays: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    unfreezing: Annotated[float, Field(ge=0, lt=1)]
    trained_stages: PositiveInt
    evaluations: PositiveInt


class Mix(Section):
    """MixUp and CutMix: mixing weights from Beta(alpha, alpha), mixed images per image of the arm's training set."""

    alpha: PositiveFloat
    copies: PositiveInt


class Arm(Section):
    """How an arm builds its training set.

    more_real: images held back by `prepare`, per real training image. augment: policies of `augment` whose copies are
    added. synthetic: generator -> synthetic images per real training image, also where the real ones are left out.
    mix: images mixed of all these are added. balance: against unequal classes, draw rare ones more often or weigh
    their loss more.
    """

    real: bool = True
    more_real: Annotated[float, Field(ge=0)] = 0.0
    augment: list[Name] = []
    synthetic: dict[Name, PositiveFloat] = {}
    mix: Literal["mixup", "cutmix"] | None = None
    balance: Literal["oversample", "class_weights"] | None = None


class Classify(Section):
    mode: Literal["head", "partial", "full", "scratch"]
    backbone: str
    pretrained: bool
    resolution: Annotated[int, Field(ge=28)]
    head: Head
    finetune: FineTune
    mix: Mix
    seeds: Annotated[list[Seed], Field(min_length=2)]
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]


class Compare(Section):
    baseline: str
    confidence: Fraction
    resamples: Annotated[int, Field(ge=1000)]


class Report(Section):
    progress_grids: PositiveInt
    price_per_second: PositiveFloat | None
    price_per_label: PositiveFloat | None
    currency: Annotated[str, Field(min_length=1, max_length=8)]


class Params(Section):
    seed: Seed
    device: Literal["auto", "cpu", "cuda"]
    launch: Annotated[str, Field(pattern="^(python|torchrun|accelerate launch)( |$)")]
    log: Literal["none", "tensorboard"]
    prepare: Prepare
    augment: Augment
    train_gan: dict[Name, GanTraining]
    train_vae: TrainVae
    train_diffusion: Training
    sample: Sample
    score: Score
    classify: Classify
    compare: Compare
    report: Report

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        trained = [*self.train_gan, "vae", "diffusion"]
        for generator, drawing in self.sample.generators.items():
            if generator not in trained:
                raise ValueError(unknown("sample.generators", generator, trained))
            if drawing.strategy is not None and generator != "vae":
                raise ValueError(f"sample.generators.{generator}.strategy: for vae alone")
        for policy in self.augment.policies:
            if policy in (*trained, "real", "more_real", "mixed", "reconstructions"):
                raise ValueError(f"augment.policies.{policy}: the name is taken; choose another")
        for name, arm in self.classify.arms.items():
            self._check_arm(f"classify.arms.{name}", arm)
        if self.compare.baseline not in self.classify.arms:
            raise ValueError(unknown("compare.baseline", self.compare.baseline, self.classify.arms))
        if len(set(self.classify.seeds)) < len(self.classify.seeds):
            raise ValueError(f"classify.seeds: {self.classify.seeds} holds a seed twice")
        return self

    def _check_arm(self, key: str, arm: Arm) -> None:
        """Say before hours of training, rather than after, what an arm cannot have."""
        if not (arm.real or arm.more_real or arm.augment or arm.synthetic):
            raise ValueError(f"{key}: nothing to train on; choose from real, more_real, augment, synthetic")
        policies, generators = self.augment.policies, self.sample.generators
        for part, names, there in (("augment", arm.augment, policies), ("synthetic", arm.synthetic, generators)):
            if strangers := [name for name in names if name not in there]:
                raise ValueError(unknown(f"{key}.{part}", strangers[0], there))
        if arm.more_real > self.prepare.held_back:
            raise ValueError(
                f"{key}.more_real: {arm.more_real:g} asked for, prepare.held_back is {self.prepare.held_back:g}"
            )
        labels = self.prepare.labels_per_class
        if labels is None or self.prepare.imbalance_ratio is not None:
            return  # how many training images a class has is known only to `prepare`
        for generator, ratio in arm.synthetic.items():
            needed = round(ratio * labels * (1 - self.prepare.validation_fraction))
            if needed > (most := self.sample.per_class):
                asked = f"{ratio:g} per training image are {needed} a class"
                raise ValueError(f"{key}.synthetic.{generator}: {asked}, but sample.per_class is {most}")


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check the whole file.

    Raises UserError with one line per faulty key. YAML 1.2 as DVC reads it: 1e-3 is a number, `no` a string.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected the keys {', '.join(Params.model_fields)}")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError(explain(error, Params)) from error


def network_config(config: type[Config], key: str, values: dict[str, Any]) -> Config:
    """`values` (the mapping at `key` of params.yaml) as the network's own config dataclass.

    Raises UserError on an unknown, missing or mistyped key, as `load` does.
    """
    try:
        # By way of JSON: in strict mode pydantic takes a dataclass from JSON, but not from a Python mapping.
        return TypeAdapter(config).validate_json(json.dumps(values, default=str), strict=True, extra="forbid")
    except ValidationError as error:
        raise UserError(explain(error, config, prefix=key)) from error
