"""params.yaml as frozen, typed sections. An unknown, missing or mistyped key is an error that says what is allowed."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, PrivateAttr, TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from augury.pipeline import conclusions, preparing, sections, trainings
from augury.pipeline.checkout import where_to_start
from augury.pipeline.conclusions import TAIL
from augury.pipeline.drawing import DENOISING, PRETRAINED_STEPS, STRATEGIES, Drawing
from augury.pipeline.errors import UserError, one_line, unknown
from augury.pipeline.preparing import fewest_labels
from augury.pipeline.replicates import SPLITS
from augury.pipeline.section import EachOnce, Name, Section, Seed
from augury.pipeline.seeding import derive_seed

PARAMS_FILE = Path("params.yaml")
# What images are called by their origin that no generator or policy made, as well as what is made of both.
TAKEN = (*SPLITS, "real", "more_real", "mixed", "reconstructions")

Config = TypeVar("Config")
SomeSection = TypeVar("SomeSection", bound=Section)


class Params(Section):
    seed: Seed
    replicates: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), EachOnce]
    device: Literal["auto", "cpu", "cuda"]
    threads: sections.PositiveInt | None
    launch: Annotated[str, Field(pattern="^(python|torchrun|accelerate launch)( |$)")]
    log: Literal["none", "tensorboard"]
    prepare: preparing.Prepare
    augment: sections.Augment
    train_gan: dict[Name, trainings.GanTraining]
    train_vae: trainings.TrainVae
    train_diffusion: trainings.Training
    train_pretrained: dict[Name, trainings.TrainPretrained]
    sample: sections.Sample
    score: sections.Score
    classify: sections.Classify
    compare: conclusions.Compare
    cards: conclusions.Cards
    report: conclusions.Report
    _base_seed: Seed | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        trained = [*self.train_gan, "vae", "diffusion"]
        for name in self.train_pretrained:
            if name in (*trained, *STRATEGIES, *TAKEN):
                raise ValueError(f"train_pretrained.{name}: the name is taken; choose another")
        trained += self.train_pretrained
        for generator, drawing in self.sample.generators.items():
            if generator not in trained:
                raise ValueError(unknown("sample.generators", generator, trained))
            self._check_drawing(f"sample.generators.{generator}", generator, drawing)
        for extractor in self.score.extractors:
            if extractor not in sections.EXTRACTORS:
                raise ValueError(unknown("score.extractors", extractor, sections.EXTRACTORS))
        for policy in self.augment.policies:
            if policy in (*trained, *TAKEN):
                raise ValueError(f"augment.policies.{policy}: the name is taken; choose another")
        for name, arm in self.classify.arms.items():
            self._check_arm(f"classify.arms.{name}", arm)
        if taken := {sections.BEST_REAL, sections.RECIPE} & {*self.classify.arms}:
            raise ValueError(f"classify.arms.{min(taken)}: the name is taken; choose another")
        real_only = self.classify.real_only
        if self.compare.reference not in (allowed := [*self.classify.arms, *[sections.BEST_REAL][: len(real_only)]]):
            raise ValueError(unknown("compare.reference", self.compare.reference, allowed))
        return self

    @model_validator(mode="after")
    def _replicates_can_be_drawn(self) -> Self:
        if 0 not in self.replicates:
            raise ValueError(f"replicates: {self.replicates} lacks 0, whose generators are passed on")
        if self.prepare.redraw == "folds":
            folds = self.prepare.folds
            if max(self.replicates) >= folds:
                share = f"prepare.test_fraction {self.prepare.test_fraction:g} makes {folds} folds"
                raise ValueError(f"replicates: {max(self.replicates)} is too many; {share}, 0 to {folds - 1}")
        elif len(self.replicates) > 1 and self.prepare.labels_per_class is None:
            raise ValueError(
                "prepare.redraw: labels draws the same ones for every replicate where labels_per_class is null; "
                "set a number, choose folds, or set replicates: [0]"
            )
        return self

    @model_validator(mode="after")
    def _measure_has_its_classes(self) -> Self:
        """Rare classes need a tail; with all images as they are, or natural proportions, `compare` looks for one."""
        labels, ratio = self.prepare.labels_per_class, self.prepare.imbalance_ratio or 1.0
        if self.compare.measure != "rarest_third" or labels is None or self.prepare.proportions == "natural":
            return self
        if labels <= TAIL * fewest_labels(labels, ratio):
            raise ValueError(
                "compare.measure: rarest_third: classes have about equally many labels; choose accuracy, or "
                "prepare.proportions: natural, or a larger prepare.imbalance_ratio"
            )
        return self

    @model_validator(mode="after")
    def _projected_is_fair(self) -> Self:
        """Arms with synthetic images are given no knowledge that the others must not have, and no flattering score."""
        projected = [name for name, training in self.train_gan.items() if training.discriminator == "projected"]
        if projected and not self.classify.starts_pretrained:
            because = "mode: scratch" if self.classify.pretrained else "pretrained: false"
            raise ValueError(
                f"train_gan.{projected[0]}.discriminator: projected knows ImageNet, which classify.{because} keeps "
                "from the classifier; choose own"
            )
        there = [name for name, extractor in self.score.extractors.items() if extractor.weights != "off"]
        if projected and [name for name in there if name in ("efficientnet_lite0", "random_cnn")][:1] != ["random_cnn"]:
            raise ValueError(
                f"score.extractors: scores of {projected[0]} in efficientnet_lite0's features flatter it, as its "
                "discriminator is projected; put random_cnn: {} before efficientnet_lite0"
            )
        return self

    @property
    def base_seed(self) -> int:
        """The seed of params.yaml, which replicates have in common."""
        return self.seed if self._base_seed is None else self._base_seed

    @property
    def classes_alike(self) -> bool:
        """Whether choices count all classes alike, as the measure does; of a tail that was made, tests know nothing."""
        return self.compare.measure != "accuracy" or self.prepare.imbalance_ratio is not None

    def of_replicate(self, number: int) -> "Params":
        """What the stages of a replicate go by: those after 0 have a seed of their own."""
        if number == 0:
            return self
        params = self.model_copy(update={"seed": derive_seed(self.base_seed, "replicate", number)})
        params._base_seed = self.base_seed
        return params

    def _check_drawing(self, key: str, generator: str, drawing: Drawing) -> None:
        """Say what of a drawing this generator cannot do; a pretrained one can do what a diffusion model can."""
        pretrained = generator in self.train_pretrained
        strategies = STRATEGIES["diffusion" if pretrained else generator]
        denoising = (*DENOISING, *self.train_pretrained)
        denoises = generator in denoising
        if drawing.strategy is not None and drawing.strategy not in strategies:
            raise ValueError(unknown(f"{key}.strategy", drawing.strategy, strategies))
        for option in ("strengths", "guidance", "steps"):
            if getattr(drawing, option) is not None and not denoises:
                raise ValueError(f"{key}.{option}: for {', '.join(denoising)} alone")
        if not denoises or not drawing.from_images:
            return
        if drawing.strengths is None:
            raise ValueError(f"{key}.strengths: missing; say how noisy images are made, such as [0.3, 0.6]")
        usual = PRETRAINED_STEPS if pretrained else self.train_diffusion.network.get("sampling_steps", 20)
        steps = drawing.steps or usual
        if min(drawing.strengths) * steps < 1:
            raise ValueError(
                f"{key}.strengths: {min(drawing.strengths):g} of {steps} steps is less than one; raise it, or steps"
            )

    def _check_arm(self, key: str, arm: sections.Arm) -> None:
        """Say before hours of training, rather than after, what an arm cannot have."""
        if not (arm.real or arm.more_real or arm.augment or arm.synthetic or arm.repeat):
            raise ValueError(f"{key}: nothing to train on; choose from real, more_real, augment, synthetic, repeat")
        policies, generators = self.augment.policies, self.sample.generators
        for part, names, there in (("augment", arm.augment, policies), ("synthetic", arm.synthetic, generators)):
            if strangers := [name for name in names if name not in there]:
                raise ValueError(unknown(f"{key}.{part}", strangers[0], there))
        if arm.mode == "scratch" and arm.synthetic and self.classify.starts_pretrained:
            raise ValueError(
                f"{key}.mode: scratch has synthetic images that a pretrained network judged and filtered, which its "
                "own may not know of; set classify.mode: scratch, or classify.pretrained: false"
            )
        if arm.use != "labelled":
            use, others = f"{key}.use: {arm.use}", arm.real or arm.more_real or arm.augment
            if (arm.mode or self.classify.mode) == "head":
                trained = "set its mode, or classify.mode, to partial, full or scratch, or choose labelled"
                raise ValueError(f"{use} is for networks that are trained, not for a head on frozen ones; {trained}")
            if not (others and (arm.synthetic or arm.repeat)):
                raise ValueError(f"{use} needs real images, and synthetic or repeated ones; choose labelled")
            if arm.use == "first" and arm.mix:
                raise ValueError(f"{use} has synthetic images alone at first, mix mixes them with the others; drop one")
            if arm.use == "consistency" and not arm.augment:
                raise ValueError(f"{use} needs a policy in {key}.augment, by which images are copied")
        if arm.more_real > self.prepare.held_back:
            raise ValueError(
                f"{key}.more_real: {arm.more_real:g} asked for, prepare.held_back is {self.prepare.held_back:g}"
            )
        labels, imbalance = self.prepare.labels_per_class, self.prepare.imbalance_ratio
        if arm.fill is not None and not (arm.synthetic or arm.repeat):
            raise ValueError(f"{key}.fill: nothing to fill with; choose from synthetic, repeat")
        if arm.fill is not None and labels is not None and imbalance is not None:
            gap, shares = labels - fewest_labels(labels, imbalance), sum(arm.synthetic.values()) + arm.repeat
            for generator, ratio in arm.synthetic.items():
                if (needed := int(gap * ratio / shares)) > self.sample.per_class:
                    raise ValueError(
                        f"{key}.fill: the rarest class lacks {needed} images of {generator}, but sample.per_class is "
                        f"{self.sample.per_class}"
                    )
        if labels is None or imbalance is not None or arm.fill is not None:
            return  # how many labelled images a class has is known only to `prepare`
        for generator, ratio in arm.synthetic.items():
            needed = round(ratio * labels)
            if needed > (most := self.sample.per_class):
                asked = f"{ratio:g} per labelled image are {needed} a class"
                raise ValueError(f"{key}.synthetic.{generator}: {asked}, but sample.per_class is {most}")


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check the whole file. Raises UserError as `validated` does."""
    return validated(Params, path, where_to_start(Path.cwd()))


def validated(kind: type[SomeSection], path: Path, start: str) -> SomeSection:
    """The YAML file at `path` as a section.

    start: where a command is to be started that finds no such file, or one with none of these keys. Raises UserError,
    with one line per faulty key.
    """
    if not path.is_absolute() and not path.exists():
        raise UserError(f"no {path} in {Path.cwd()}; {start}")
    content, keys = read_yaml(path), ", ".join(kind.model_fields)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected the keys {keys}")
    if not kind.model_fields.keys() & content.keys():
        raise UserError(f"{path} in {Path.cwd()} has none of the keys {keys}; {start}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(explain(error, kind)) from error


def read_yaml(path: Path) -> Any:
    """YAML 1.2 as DVC reads it: 1e-3 is a number, `no` a string. Raises UserError where the file holds none."""
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {one_line(error)}") from error


def network_config(config: type[Config], key: str, values: dict[str, Any]) -> Config:
    """`values` (the mapping at `key` of params.yaml) as the network's own config dataclass.

    Raises UserError on an unknown, missing or mistyped key, as `load` does.
    """
    try:
        # By way of JSON: in strict mode pydantic takes a dataclass from JSON, but not from a Python mapping.
        return TypeAdapter(config).validate_json(json.dumps(values, default=str), strict=True, extra="forbid")
    except ValidationError as error:
        raise UserError(explain(error, config, prefix=key)) from error


def explain(error: ValidationError, model: type, prefix: str = "") -> str:
    """One line per problem: the key's path, what it holds, what is allowed."""
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(map(str, [*filter(None, [prefix]), *problem["loc"]]))
        message = problem["msg"][0].lower() + problem["msg"][1:]
        match problem["type"]:
            case "extra_forbidden" | "unexpected_keyword_argument":
                lines.append(f"{key}: unknown key; choose from {', '.join(_keys_at(model, problem['loc'][:-1]))}")
            case "missing":
                lines.append(f"{key}: missing")
            case "literal_error":
                allowed = problem["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
                lines.append(unknown(key, problem["input"], [allowed]))
            case "value_error":  # raised by a validator of ours, which words it in full
                section = f"{key}." if key else ""
                lines.append(f"{section}{problem['ctx']['error']}")
            case _:
                lines.append(f"{key}: {problem['input']!r}: {message}")
    return "\n".join(lines)


def _keys_at(model: type, location: tuple[int | str, ...]) -> list[str]:
    """The keys that `model` allows at `location`."""
    annotation: Any = model
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(part)].annotation
        else:  # a list or a mapping: the type of its values
            annotation = get_args(annotation)[-1]
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    return [field.name for field in dataclasses.fields(annotation)]
