"""What a run of the pipeline will cost here: measured on the last run, or scaled from the run in small.

A stage's last run counts where its params in dvc.lock, and those of the stages before it, are those of params.yaml.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augury.evidence.ledger import stages_behind, stages_of
from augury.pipeline.params import Params
from augury.preflight.data_at_hand import Workload
from augury.preflight.trial import SIZES, Trial, kimg, share, trainings

START = 5.0  # seconds that a process takes to start, which no stage counts


@dataclass(frozen=True)
class Forecast:
    """Seconds that a stage will take, about (None: not known), and how that is known."""

    stage: str
    seconds: float | None
    basis: str


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
        if stage in costs and all(unchanged(each) for each in ["prepare", *up_to(stage, params)])
    }


def up_to(stage: str, params: Params) -> list[str]:
    """The stage and those, beside `prepare`, whose outputs it takes, in an order in which they can be run."""
    verb, _, entry = stage.partition("@")
    training = f"train_gan@{entry}" if entry in params.train_gan else f"train_{entry}"
    before = {
        "train_diffusion": ["train_vae"] if params.train_diffusion.network.get("space", "latent") == "latent" else [],
        "sample": [training],
        "score": [f"sample@{entry}"],
        "classify": stages_behind(entry, params)[:-1] if verb == "classify" else [],
    }
    return [*dict.fromkeys(each for one in before.get(verb, []) for each in up_to(one, params)), stage]


def _at(content: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    value: Any = content
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def to_try(params: Params, last: Collection[str]) -> list[str]:
    """The stages to try for the costs of those that are not in `last`, the most telling ones first.

    Trainings, of which no two are alike, come before the first of every matrix, and then the others.
    """
    unknown = [stage for stage in stages_of(params) if stage not in last and stage not in ("prepare", "compare")]
    count = Counter[str]()

    def rank(stage: str) -> int:
        verb = stage.partition("@")[0]
        count[verb] += 1
        if verb == "classify":  # needs no generator; the first arm alone has the test images to go through
            return 1 if count[verb] <= 2 else 3
        return 0 if verb.startswith("train") else 2 if count[verb] == 1 else 3

    return [*dict.fromkeys(each for stage in sorted(unknown, key=rank) for each in up_to(stage, params))]


def forecast(params: Params, work: Workload, last: Mapping[str, float], trials: Mapping[str, Trial]) -> list[Forecast]:
    """A line for every stage before `report`. last: stage -> seconds of its last run. trials: of the others."""
    tried = {stage: scaled(stage, trial.seconds, params, work) for stage, trial in trials.items() if trial.seconds}
    lines = []
    for stage in stages_of(params):
        verb = stage.partition("@")[0]
        alike = [each for each in tried if each.partition("@")[0] == verb and not verb.startswith("train")]
        if stage in last:
            lines.append(Forecast(stage, last[stage], "measured on the last run"))
        elif stage in tried:
            lines.append(tried[stage])
        elif stage in trials:
            lines.append(Forecast(stage, None, f"tried in vain: {trials[stage].problem}"))
        elif verb in ("prepare", "compare"):
            longer = ", minutes where it reads many photographs" if verb == "prepare" else ""
            lines.append(Forecast(stage, START, f"not tried: seconds{longer}"))
        elif alike:
            lines.append(Forecast(stage, tried[alike[-1]].seconds, f"not tried: as {alike[-1]}"))
        else:
            lines.append(Forecast(stage, None, "not tried: the time was up"))
    return lines


def scaled(stage: str, seconds: Sequence[float], params: Params, work: Workload) -> Forecast:
    """What the whole stage takes, of what it took at each size; or at the first alone, as if all of that were work."""
    budget, fine_tuned = trainings(params).get(stage), params.classify.mode != "head"
    repeated = 1  # how often what does not depend on the size is done: a training is at its snapshots
    if budget is not None:
        amounts, whole = [kimg(budget, params.prepare.image_size, size) for size in SIZES], budget.total_kimg
        repeated = math.ceil(budget.total_kimg / budget.snapshot_every_kimg)
    elif stage.startswith("classify@") and fine_tuned:
        amounts, whole = list(SIZES), params.classify.finetune.steps
    else:
        amounts, whole = [size * share(params, work) for size in SIZES], 1.0
    per_amount = max(0.0, seconds[-1] - seconds[0]) / (amounts[-1] - amounts[0])
    if len(seconds) == 1:
        per_amount = seconds[0] / amounts[0]
    once = max(0.0, seconds[0] - per_amount * amounts[0])
    total = per_amount * whole + repeated * once
    basis = f"scaled from a trial of 1/{whole / amounts[len(seconds) - 1]:,.0f} of it"
    if budget is not None and per_amount:
        basis += f": {1000 / per_amount:,.0f} images/s, {budget.total_kimg:g} kimg"
    return Forecast(stage, total, basis)
