"""What a run of the pipeline will cost here: measured on the last run, tried for a few seconds, or worked out.

A stage's last run counts where its params in dvc.lock, and those of the stages before it, are those of params.yaml.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from augury.evidence.ledger import stages_behind, stages_of
from augury.features.backbones import load_backbone
from augury.features.extractor import Extractor, backbone_levels
from augury.features.heads import fit_head
from augury.generators.selection import BACKBONE, RESOLUTION
from augury.pipeline.devices import autocast
from augury.pipeline.params import Params
from augury.pipeline.seeding import seeded
from augury.preflight.data_at_hand import Workload
from augury.preflight.trial import Trial, random_images, trainings
from augury.scores.extractors import build_extractor
from augury.training.snapshots import DRAWN as JUDGED
from augury.training.snapshots import MOST_REAL as MOST_JUDGED

TRIED, FEW = 64, 8  # images whose features are timed, and of a slow network
START = 5.0  # seconds that a process takes to start, where no trial has told
TRIES, SLOW = 3, 1.0  # at most; seconds from which on once is enough
HEAD_STEPS = 30
DRAWN_PER_KEPT = 1.2  # images drawn for each that passes the filter, about
GRID_ROW = 8  # images of each class that a snapshot's grid shows


@dataclass(frozen=True)
class Forecast:
    """Seconds that a stage will take, about (None: not known), and how that is known."""

    stage: str
    seconds: float | None
    basis: str


@dataclass(frozen=True)
class Rates:
    """Seconds an image for features: of the filter, of the classifier, and of each extractor of `score`.

    step: seconds for a step of a classifier's training, of one seed, while others are trained on the other cores.
    """

    filter: float
    classifier: float
    extractors: dict[str, float]
    step: float


def last_costs(
    params_text: Mapping[str, Any], lock: Mapping[str, Any], costs: Mapping[str, Any], params: Params
) -> dict[str, float]:
    """Stage -> seconds of its last run, of those that would be run the same way again.

    params_text: the content of params.yaml; lock: of dvc.lock; costs: stage -> that of its file in data/costs.
    """
    recorded = lock.get("stages", {})

    def unchanged(stage: str) -> bool:
        used = recorded.get(stage, {}).get("params", {}).get("params.yaml", {})
        return stage in recorded and all(_at(params_text, key) == value for key, value in used.items())

    return {
        stage: costs[stage]["seconds"]
        for stage in stages_of(params)
        if stage in costs and all(unchanged(each) for each in [*_before(stage, params), stage])
    }


def _before(stage: str, params: Params) -> list[str]:
    """The stages that an outcome rests on, beside itself."""
    verb, _, entry = stage.partition("@")
    training = f"train_gan@{entry}" if entry in params.train_gan else f"train_{entry}"
    before = {
        "sample": [training],
        "score": [training, f"sample@{entry}"],
        "classify": stages_behind(entry, params) if verb == "classify" else [],
    }
    return ["prepare", *before.get(verb, [])]


def _at(content: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    value: Any = content
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def measure_rates(
    params: Params, work: Workload, device: torch.device, cores: int, extractors: Collection[str], pretrained: bool
) -> Rates:
    """Time features, and a step of the classifier, on random images of the size that params.yaml asks for.

    extractors: those of params.score whose weights are there. pretrained: whether the classifier's are.
    Raises UserError where params.yaml names a network or a resolution that there is not.
    """
    classify = params.classify
    images = random_images([TRIED // 2] * 2, params.prepare.image_size, work.channels)

    def per_image(extractor: Extractor) -> float:
        few = images.select(np.arange(FEW))
        extractor.compute(few, device)  # loads the network, and what is slow only once
        if (seconds := _least_seconds(lambda: extractor.compute(few, device))) > SLOW:
            return seconds / FEW
        return _least_seconds(lambda: extractor.compute(images, device)) / len(images)

    levels = backbone_levels(classify.backbone, classify.resolution, pretrained)
    filtering = backbone_levels(BACKBONE, RESOLUTION)
    of_filter = per_image(filtering)
    return Rates(
        filter=of_filter,
        classifier=of_filter if levels == filtering else per_image(levels),
        extractors={name: per_image(build_extractor(name, params.score.extractors[name])) for name in extractors},
        step=STEPS[classify.mode](params, len(work.train), device, cores),
    )


def _least_seconds(work: Callable[[], object]) -> float:
    """The quickest of some tries: what else the machine does can only make it slower."""
    taken: list[float] = []
    while len(taken) < TRIES and sum(taken) < SLOW:
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def _head_step(params: Params, classes: int, device: torch.device, cores: int) -> float:
    """Seeds are trained at once, on one thread each."""
    classify, head = params.classify, params.classify.head
    levels = backbone_levels(classify.backbone, classify.resolution, pretrained=False)
    dimensions = levels.compute(random_images([1, 1], params.prepare.image_size, 3), device).shape[1]
    features = torch.randn(1000, dimensions, device=device)
    labels = torch.arange(1000, device=device) % classes
    threads = torch.get_num_threads()

    def fit() -> None:
        fit_head(
            features, labels, features[:classes], labels[:classes], classes, l2_penalties=head.l2_penalties,
            steps=HEAD_STEPS, batch_size=head.batch_size, learning_rate=head.learning_rate,
            generator=seeded(0, "forecast"),
        )  # fmt: skip

    torch.set_num_threads(1)
    try:
        return _least_seconds(fit) / HEAD_STEPS / _at_once(params, device, cores)
    finally:
        torch.set_num_threads(threads)


def _tuning_step(params: Params, classes: int, device: torch.device, cores: int) -> float:
    """Of the whole backbone, on all cores: as many seeds at once, one core each, take about as long."""
    classify = params.classify
    network = load_backbone(classify.backbone, False).to(device)
    shape = (classify.finetune.batch_size, 3, classify.resolution, classify.resolution)
    batch = torch.randn(shape, device=device).to(memory_format=torch.channels_last)
    for _ in range(2):  # the first one is slow
        started = time.perf_counter()
        with autocast(device):
            loss = network(batch).float().square().mean()
        loss.backward()
        loss.detach().item()  # a GPU has to be waited for
        seconds = time.perf_counter() - started
    return seconds * len(classify.finetune.weight_decays)


def _at_once(params: Params, device: torch.device, cores: int) -> int:
    return min(cores, len(params.classify.seeds)) if device.type == "cpu" else 1


STEPS: dict[str, Callable[[Params, int, torch.device, int], float]] = {
    "head": _head_step,
    "partial": _tuning_step,
    "full": _tuning_step,
    "scratch": _tuning_step,
}


def forecast(
    params: Params, work: Workload, last: Mapping[str, float], trials: Mapping[str, Trial | str], rates: Rates | None
) -> list[Forecast]:
    """A line for every stage before `report`.

    last: stage -> seconds of its last run. trials: of the other trainings, or why there is none. rates: None where
    every stage is in `last`.
    """
    start = min((trial.start for trial in trials.values() if isinstance(trial, Trial)), default=START)
    kept: set[str] = set()  # features that a stage before has left
    lines = []
    for stage in stages_of(params):
        verb, _, entry = stage.partition("@")
        if stage in last:
            lines.append(Forecast(stage, last[stage], "measured on the last run"))
        elif stage in trials:
            trial, (_, budget) = trials[stage], trainings(params)[stage]
            if isinstance(trial, str):
                lines.append(Forecast(stage, None, f"tried in vain: {trial}"))
            else:
                speed = f"{1000 / trial.per_kimg:,.0f} images/s" if trial.per_kimg else "at once"
                lines.append(Forecast(stage, trial.seconds(budget), f"tried: {speed}, {budget.total_kimg:g} kimg"))
        elif rates is not None and verb in WORKED_OUT:
            training = trials.get(f"train_gan@{entry}") or trials.get(f"train_{entry}")
            tried = training if isinstance(training, Trial) else None
            seconds = WORKED_OUT[verb](entry, params, work, rates, tried, kept)
            lines.append(Forecast(stage, start + seconds, "from the speed of features and heads"))
        else:
            lines.append(Forecast(stage, start, "little more than its start"))
    return lines


def _sample(entry: str, params: Params, work: Workload, rates: Rates, trial: Trial | None, kept: set[str]) -> float:
    drawn = DRAWN_PER_KEPT * params.sample.per_class * len(work.train)
    real = 0 if "filter" in kept else sum(work.train) + sum(work.validation)
    kept.add("filter")
    return (drawn + real) * rates.filter + drawn * _per_drawing(work, rates, trial)


def _per_drawing(work: Workload, rates: Rates, trial: Trial | None) -> float:
    """Seconds for an image of a generator: a snapshot's, less what is spent on features."""
    if trial is None:
        return 0.0
    real = max(1, min(sum(work.validation), MOST_JUDGED))
    judged = real * math.ceil(JUDGED / real)
    features = judged * rates.extractors.get(BACKBONE, rates.filter)
    return max(0.0, trial.per_snapshot - features) / (judged + GRID_ROW * len(work.train))


def _score(entry: str, params: Params, work: Workload, rates: Rates, trial: Trial | None, kept: set[str]) -> float:
    synthetic = params.sample.per_class * len(work.train)
    real = 0 if "score" in kept else sum(work.train) + sum(work.validation)
    kept.add("score")
    return synthetic * rates.classifier + (synthetic + real) * sum(rates.extractors.values())


def _classify(entry: str, params: Params, work: Workload, rates: Rates, trial: Trial | None, kept: set[str]) -> float:
    classify, arm, real = params.classify, params.classify.arms[entry], sum(work.train)
    parts = {"real": real * arm.real, "more_real": min(sum(work.held_back), round(arm.more_real * real))}
    parts |= {policy: params.augment.copies * real for policy in arm.augment}
    parts |= {f"{generator} {ratio}": round(ratio * real) for generator, ratio in arm.synthetic.items()}
    if arm.mix is not None:
        parts[f"mixed {entry}"] = classify.mix.copies * sum(parts.values())
    tested = sum(work.test) + sum(work.validation)
    if classify.mode != "head":
        steps = classify.finetune.steps * len(classify.seeds)
        return steps * rates.step + tested * len(classify.seeds) * rates.classifier
    fresh = sum(count for part, count in {**parts, "tested": tested}.items() if part not in kept)
    kept.update(parts, ["tested"])
    return fresh * rates.classifier + classify.head.steps * len(classify.seeds) * rates.step


WORKED_OUT = {"sample": _sample, "score": _score, "classify": _classify}
