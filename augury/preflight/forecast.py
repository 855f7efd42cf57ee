"""What a run of the pipeline will cost here: measured on the last run; of trainings else their budget at their pace.

A stage's last run counts where its params in dvc.lock, and those of the stages whose outputs it takes, are those of
params.yaml.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from augury.evidence.ledger import stages_of
from augury.generators.bases import JUDGED_STEPS
from augury.generators.snapshots import DRAWN
from augury.pipeline.devices import BUSY, busy_elsewhere, choose_device
from augury.pipeline.drawing import PRETRAINED_STEPS
from augury.pipeline.params import Params
from augury.pipeline.trainings import Budget
from augury.preflight.data_at_hand import Workload

START = 5.0  # seconds that a process takes to start, which no stage counts
DRAWS = 1.5  # of a pretrained model, for an image that passes the filter
NOT_ON_A_CPU = "not on a CPU, where an image takes minutes: take a GPU, or leave it out"
PATIENCE = 25.0, 100.0  # seconds for the trial, and where others keep the machine busy


@dataclass(frozen=True)
class Forecast:
    """Seconds that a stage will take, about (None: not known), and how that is known."""

    stage: str
    seconds: float | None
    basis: str


def last_costs(params_text: Mapping[str, Any], lock: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, float]:
    """Stage -> seconds of its last run, of those that would be run the same way again.

    params_text: the content of params.yaml; lock: of dvc.lock; costs: stage -> that of its file in data/costs.
    """
    stages = lock.get("stages") if isinstance(lock, Mapping) else None
    if not isinstance(stages, Mapping):  # a file that was put together by hand
        return {}
    maker = {output["path"]: stage for stage, entry in stages.items() for output in entry.get("outs", [])}

    @cache
    def unchanged(stage: str) -> bool:
        used = stages[stage].get("params", {}).get("params.yaml", {})
        taken = {maker[path] for each in stages[stage].get("deps", []) if (path := each["path"]) in maker}
        return all(_at(params_text, key) == value for key, value in used.items()) and all(map(unchanged, taken))

    return {stage: cost["seconds"] for stage, cost in costs.items() if stage in stages and unchanged(stage)}


def _at(content: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    value: Any = content
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def trainings(params: Params) -> dict[str, Budget]:
    """Stage of replicate 0 -> its budget, in the pipeline's order."""
    gans = {f"train_gan@0-{name}": budget for name, budget in params.train_gan.items()}
    adapted = {f"train_pretrained@0-{name}": budget for name, budget in params.train_pretrained.items()}
    return {**gans, "train_vae@0": params.train_vae, "train_diffusion@0": params.train_diffusion, **adapted}


def cost_lines(params: Params, work: Workload, last: Mapping[str, float]) -> Iterator[str]:
    """What a run will take here, line by line; trainings that are not in `last` (see `last_costs`) are tried first."""
    waiting, paces = [stage for stage in trainings(params) if stage not in last], dict[str, float | str]()
    adapted = [stage for stage in waiting if stage.startswith("train_pretrained@")]
    if choose_device(params.device).type == "cpu":
        paces |= dict.fromkeys(adapted, NOT_ON_A_CPU)
        waiting = [stage for stage in waiting if stage not in adapted]
    if waiting:
        from augury.preflight.trial import try_trainings  # takes seconds to import

        patience = PATIENCE[busy_elsewhere() > BUSY or not {*waiting}.isdisjoint(adapted)]
        yield f"  a trial of trainings that were not run here: {patience:.0f} s at most, or --no-cost"
        paces |= try_trainings(waiting, params, len(work.train), work.channels, patience)
    yield from table(forecast(params, last, paces, len(work.train)), len(stages_of(params)))
    if waiting:
        yield "  What is scaled is rough: between half of it and twice as much, more so on a busy machine."


def forecast(
    params: Params, last: Mapping[str, float], paces: Mapping[str, float | str], classes: int = 0
) -> list[Forecast]:
    """Every stage before `report`, but in one all that are neither in `last` nor trainings.

    last: stage -> seconds of its last run. paces: stage -> images per second of its trial, or why it failed. What was
    not run for a further replicate is foretold as for replicate 0. classes: how many a generator draws images of.
    """
    budgets, lines, others = trainings(params), [], 0
    for stage in stages_of(params):
        first = re.sub(r"@\d+", "@0", stage)
        pace = paces.get(first, "the time was up")
        if stage in last:
            lines.append(Forecast(stage, last[stage], "measured on the last run"))
        elif first in last:
            lines.append(Forecast(stage, last[first], f"as {first} on the last run"))
        elif (more := _of_pretrained(params, first, paces, classes)) is not None:
            lines.append(Forecast(stage, *more))
        elif first not in budgets:
            others += 1
        elif isinstance(pace, str):
            lines.append(Forecast(stage, None, pace if pace == NOT_ON_A_CPU else f"tried in vain: {pace}"))
        else:
            kimg = budgets[first].total_kimg
            lines.append(Forecast(stage, 1000 * kimg / pace, f"{kimg:g} kimg at {pace:,.0f} images/s"))
    share = "not tried: all but the trainings take a third of a run's time with the default params"
    return [*lines, Forecast(f"{others} other stages", None, share)] if others else lines


def _of_pretrained(
    params: Params, stage: str, paces: Mapping[str, float | str], classes: int
) -> tuple[float, str] | None:
    """Seconds of adapting a pretrained model, or of drawing from it, and how they are known; None of other stages.

    Both are passes through its denoiser: of an image learned from, forward and back, and forward again where that
    saves memory; of one that is drawn, two for each step, with the prompt and without.
    """
    kind, _, entry = stage.partition("@0-")
    pace = paces.get(f"train_pretrained@0-{entry}")
    if not isinstance(pace, float) or kind not in ("train_pretrained", "sample"):
        return None
    budget = params.train_pretrained[entry]
    passes = pace * (3 if budget.gradient_checkpointing else 2)  # a second
    if kind == "train_pretrained":
        snapshots = max(1, math.ceil(budget.total_kimg / budget.snapshot_every_kimg))
        judging = snapshots * DRAWN * JUDGED_STEPS * 2 / passes
        basis = f"{budget.total_kimg:g} kimg at {pace:,.0f} images/s, and {snapshots} snapshots"
        return 1000 * budget.total_kimg / pace + judging, basis
    drawing, images = params.sample.generators[entry], params.sample.per_class * classes
    whole, strengths = drawing.steps or PRETRAINED_STEPS, drawing.strengths or [1.0]
    share = drawing.prior_share or 0.0
    steps = round(whole * (share + (1 - share) * sum(strengths) / len(strengths)))
    return (
        DRAWS * images * steps * 2 / passes,
        f"about {DRAWS:g} draws for each of {images:,} images, {steps} steps each",
    )


def table(lines: Sequence[Forecast], stages: int) -> list[str]:
    """A line per forecast, and one for all. stages: how many have to start."""
    unknown = ", ".join(line.stage for line in lines if line.seconds is None)
    more = f", and more for {unknown}" if unknown else ""
    basis = f"about, one after the other, with {START:.0f} s for each to start{more}; `make repro` shares the cores out"
    total = Forecast("in all", START * stages + sum(line.seconds or 0.0 for line in lines), basis)
    width = max(len(line.stage) for line in lines) + 2
    return [f"  {line.stage:<{width}}{duration(line.seconds):>10}  {line.basis}" for line in [*lines, total]]


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
