"""The sections of params.yaml, one frozen, typed class each; `augury.pipeline.params` reads them from the file."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from augury.pipeline.drawing import Drawing, Filter
from augury.pipeline.section import Fraction, Name, PositiveFloat, PositiveInt, Section, Seeds

BEST_REAL, RECIPE = "best_real", "recipe"  # arms that held-out images choose among those that were trained
Mode = Literal["head", "partial", "full", "scratch"]
Resolution = Annotated[int, Field(ge=28, le=1024)]  # pixels; beyond, features cost hours and know no more
EXTRACTORS = ("efficientnet_lite0", "inception", "dinov2_small", "dinov2_large", "random_cnn")


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


class Sample(Section):
    generators: Annotated[dict[Name, Drawing], Field(min_length=1)]
    per_class: PositiveInt
    batch_size: PositiveInt
    filter: Filter


class FeatureExtractor(Section):
    """How images become features. weights: a file, `auto` where they are to be found, or `off`."""

    weights: str = "auto"
    resolution: Resolution | None = None  # None: the extractor's own


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
    first_phase: share of the steps in which arms learn from synthetic images whose use is to come first.
    """

    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    weight_decays: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    unfreezing: Annotated[float, Field(ge=0, lt=1)]
    trained_stages: PositiveInt
    first_phase: Fraction = 0.5


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
    balance: against unequal classes, draw rare ones more often, weigh their loss more, or tell the loss how frequent
    they are. mode, resolution: in place of those that all arms have.
    use: what synthetic and repeated images are for. labelled: as the others, all along. first, mixed_first: alone or
    among the others in the first steps, and not in the last ones (finetune.first_phase). consistency: without their
    labels, to be answered as their augmented copies are.
    fill: each class gets synthetic images up to the largest one's number of labelled images, of which each generator's
    ratio is then its share; `repeat` shares in it too. At weight 1 all classes then count alike, as a synthetic image
    counts as a labelled one with its copies.
    """

    real: bool = True
    more_real: Annotated[float, Field(ge=0)] = 0.0
    augment: list[Name] = Field(default_factory=list)
    synthetic: dict[Name, PositiveFloat] = Field(default_factory=dict)
    repeat: Annotated[float, Field(ge=0)] = 0.0
    draw: Annotated[int, Field(ge=0)] = 0
    mix: Literal["mixup", "cutmix"] | None = None
    balance: Literal["oversample", "class_weights", "logit_adjustment"] | None = None
    mode: Mode | None = None
    resolution: Resolution | None = None
    use: Literal["labelled", "first", "mixed_first", "consistency"] = "labelled"
    fill: Literal["largest"] | None = None

    @property
    def bare(self) -> Self:
        return self.without("synthetic")

    def without(self, *keys: str) -> Self:
        """The same but for these, which are left at their defaults; `use` and `fill` too, where nothing needs them."""
        fields = type(self).model_fields
        left = self.model_copy(update={key: fields[key].get_default(call_default_factory=True) for key in keys})
        if left.synthetic or left.repeat:
            return left
        return left.model_copy(update={key: fields[key].default for key in ("use", "fill")})

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
    seeds: Seeds
    arms: Annotated[dict[Name, Arm], Field(min_length=1)]

    @property
    def starts_pretrained(self) -> bool:
        return self.pretrained and self.mode != "scratch"

    @property
    def real_only(self) -> list[str]:
        """The arms of real images alone, of which one may choose the best."""
        return [name for name, arm in self.arms.items() if arm.is_candidate and not arm.synthetic]

    @property
    def arms_in_full(self) -> dict[str, Arm]:
        """The arms with the mode and the resolution that each of them comes to, so that what is alike is equal."""
        return {
            name: arm.model_copy(
                update={"mode": arm.mode or self.mode, "resolution": arm.resolution or self.resolution}
            )
            for name, arm in self.arms.items()
        }

    def of_arm(self, name: str) -> Self:
        """With the mode and the resolution of an arm."""
        arm = self.arms_in_full[name]
        return self.model_copy(update={"mode": arm.mode, "resolution": arm.resolution})

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
