"""The sections of params.yaml, one frozen, typed class each; `augury.pipeline.params` reads them from the file.

Those about how images are drawn and kept are in `augury.pipeline.drawing`, those about what is concluded from results
in `augury.pipeline.conclusions`.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from augury.pipeline.drawing import Drawing, Filter
from augury.pipeline.errors import unknown
from augury.pipeline.section import Fraction, Name, PositiveFloat, PositiveInt, Section, Seed

FOLDER_SOURCES = ("imagefolder", "parquet", "csv")  # whose images are whatever lies in prepare.folder
SOURCE_NAMES = ("fashion_mnist", "digits", *FOLDER_SOURCES, "torchvision:NAME")
BEST_REAL, RECIPE = "best_real", "recipe"  # arms that held-out images choose among those that were trained
Mode = Literal["head", "partial", "full", "scratch"]
Resolution = Annotated[int, Field(ge=28)]  # pixels


class Prepare(Section):
    """Where the labelled images come from, and how they are split.

    source, folder: see `augury.sources`. class_level: how many folders down from there, or from a split's, those of the
    classes are. links_into: another folder that links in it may lead into. label_column: of a csv or parquet source.
    intensity: the values that become black and white where images have more than eight bits; None: by what all of them
    hold. group_column, group_pattern: images of one group stay on one side of every split; the group is a column's
    value, or what a regular expression finds in the file's path. near_duplicates: what is done about images of two
    splits that look the same. proportions: whether labels_per_class is the budget of each class, or of the largest one
    of the source. imbalance_ratio: how many times as many labels the first class has as the last.
    redraw: what replicates differ in, beside trainings: the labels drawn, with one test split for all, or the part of
    the images that is tested.
    """

    source: str
    folder: str
    class_level: PositiveInt | None
    links_into: str | None
    label_column: str
    image_size: PositiveInt
    color: Literal["auto", "gray", "rgb"]
    intensity: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    labels_per_class: Annotated[int, Field(ge=2)] | None
    validation_fraction: Fraction
    test_fraction: Fraction
    group_column: str | None
    group_pattern: str | None
    near_duplicates: Literal["report", "keep_together", "ignore"]
    proportions: Literal["equal", "natural"]
    imbalance_ratio: Annotated[float, Field(ge=1)] | None
    held_back: Annotated[float, Field(ge=0)]
    redraw: Literal["labels", "folds"]
    unreadable: Literal["stop", "skip"]

    @property
    def folds(self) -> int:
        """Parts of the images that are the test split in turn, as large as test_fraction."""
        return round(1 / self.test_fraction)

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
        if self.imbalance_ratio is not None and self.proportions == "natural":
            raise ValueError("imbalance_ratio: proportions natural says already how labels are shared out")
        return self

    @model_validator(mode="after")
    def _black_is_below_white(self) -> Self:
        if self.intensity is not None and not self.intensity[0] < self.intensity[1]:
            raise ValueError(f"intensity: {self.intensity}: expected the value of black, then a larger one of white")
        return self

    @model_validator(mode="after")
    def _several_folds(self) -> Self:
        if self.redraw == "folds" and self.folds < 2:
            raise ValueError(f"test_fraction: {self.test_fraction:g} leaves no second fold; choose 0.5 or less")
        return self

    @model_validator(mode="after")
    def _known_source(self) -> Self:
        if self.source not in SOURCE_NAMES[:-1] and not re.fullmatch(r"torchvision:\w+", self.source):
            raise ValueError(unknown("source", self.source, SOURCE_NAMES))
        return self

    @model_validator(mode="after")
    def _one_way_to_group(self) -> Self:
        if self.group_column is not None and self.group_pattern is not None:
            raise ValueError("group_pattern: group_column says already how images are grouped; choose one")
        if self.group_column is not None and self.source not in ("csv", "parquet"):
            raise ValueError(f"group_column: source {self.source} has no columns; choose group_pattern")
        if self.group_pattern is not None:
            try:
                re.compile(self.group_pattern)
            except re.error as error:
                raise ValueError(f"group_pattern: {self.group_pattern!r} is no regular expression ({error})") from error
        return self


class Transform(Section):
    name: str
    kwargs: dict[str, Any] = Field(default_factory=dict)


BACKGROUND_SWAP = "BackgroundSwap"  # a first step of a policy; see augury/arms/background_swap.py


class Augment(Section):
    copies: PositiveInt
    policies: Annotated[dict[Name, Annotated[list[Transform], Field(min_length=1)]], Field(min_length=1)]

    @property
    def swapping(self) -> list[str]:
        """The policies that set objects on other grounds."""
        return [name for name, steps in self.policies.items() if steps[0].name == BACKGROUND_SWAP]


class Training(Section):
    """What every generator's training has. Budgets are in thousands of images."""

    network: dict[str, Any]  # checked against the network's own Config
    total_kimg: PositiveFloat
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    ema_halflife_kimg: PositiveFloat
    snapshot_every_kimg: PositiveFloat
    patience: PositiveInt | None  # so many snapshots without a nearer one end training; None: all are made


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


class Sample(Section):
    generators: Annotated[dict[Name, Drawing], Field(min_length=1)]
    per_class: PositiveInt
    batch_size: PositiveInt
    filter: Filter


class FeatureExtractor(Section):
    """How images become features. weights: a file, `auto` where they are to be found, or `off`."""

    weights: str = "auto"
    resolution: Annotated[int, Field(ge=28)] | None = None  # None: the extractor's own


def distance_title(extractor: str) -> str:
    """What the Frechet distance in an extractor's features is called; only that in Inception's is FID."""
    return "FID" if extractor == "inception" else f"FD[{extractor}]"


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
    """

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decays: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    unfreezing: Annotated[float, Field(ge=0, lt=1)]
    trained_stages: PositiveInt


class Mix(Section):
    """MixUp and CutMix: mixing weights from Beta(alpha, alpha), mixed images per image of the arm's training set."""

    alpha: PositiveFloat
    copies: PositiveInt


class Arm(Section):
    """How an arm builds its training set.

    Ratios are per labelled image (train and validation), also where the real ones are left out. more_real: images held
    back by `prepare`. augment: policies of `augment` whose copies of the real images are added. synthetic: generator ->
    its images. repeat: the real images again, weighted as synthetic ones are. draw: which draw of copies, synthetic and
    mixed images, starts and batches it is; arms of one draw share them. mix: images mixed of all these are added.
    balance: against unequal classes, draw rare ones more often or weigh their loss more. mode, resolution: in place of
    those that all arms have.
    """

    real: bool = True
    more_real: Annotated[float, Field(ge=0)] = 0.0
    augment: list[Name] = Field(default_factory=list)
    synthetic: dict[Name, PositiveFloat] = Field(default_factory=dict)
    repeat: Annotated[float, Field(ge=0)] = 0.0
    draw: Annotated[int, Field(ge=0)] = 0
    mix: Literal["mixup", "cutmix"] | None = None
    balance: Literal["oversample", "class_weights"] | None = None
    mode: Mode | None = None
    resolution: Resolution | None = None

    @property
    def bare(self) -> Self:
        """The same without synthetic images, and what only they need."""
        return self.model_copy(update={"synthetic": {}})

    @property
    def is_candidate(self) -> bool:
        """Whether it is there to be used: no control, and with no labels beyond the budget."""
        return not (self.more_real or self.repeat or self.draw)


class Classify(Section):
    """folds: of the labelled images, by which an arm's L2 penalty and weight of synthetic images are chosen.

    synthetic_weight: what a synthetic image may weigh, a real one weighing 1.
    """

    mode: Mode
    backbone: str
    pretrained: bool
    resolution: Resolution
    head: Head
    finetune: FineTune
    folds: Annotated[int, Field(ge=2)]
    synthetic_weight: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    mix: Mix
    seeds: Annotated[list[Seed], Field(min_length=2)]
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]

    @property
    def starts_pretrained(self) -> bool:
        return self.pretrained and self.mode != "scratch"

    @property
    def real_only(self) -> list[str]:
        """The arms of real images alone, of which one may choose the best."""
        return [name for name, arm in self.arms.items() if arm.is_candidate and not arm.synthetic]

    def of_arm(self, name: str) -> Self:
        """With the mode and the resolution of an arm."""
        arm = self.arms[name]
        own = {"mode": arm.mode or self.mode, "resolution": arm.resolution or self.resolution}
        return self.model_copy(update=own)

    def seeds_of(self, replicate: int) -> list[int]:
        """All of them in replicate 0; two in others, where a new draw of labels says more than a further seed."""
        return self.seeds if replicate == 0 else self.seeds[:2]

    def draw_of(self, arm: str, position: int, replicate: int) -> int:
        """Which draw of all that is drawn the seed at that position takes; no two seeds of an arm share one."""
        return self.arms[arm].draw * len(self.seeds_of(replicate)) + position

    def draws(self, replicate: int, policy: str, *, more_real: bool = False) -> int:
        """How many draws of a policy's copies the arms ask for; more_real: those with more_real."""
        arms = [arm for arm in self.arms.values() if policy in arm.augment]
        if more_real:
            arms = [arm for arm in arms if arm.more_real]
        elif not arms:
            arms = [Arm()]  # of a policy that no arm uses there are copies to look at
        return len(self.seeds_of(replicate)) * max((1 + arm.draw for arm in arms), default=0)
