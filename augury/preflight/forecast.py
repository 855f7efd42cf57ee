"""What a run of the pipeline will cost here: measured on the last run; of trainings else their budget at their pace.

A stage's last run counts where its params in dvc.lock, and those of the stages whose outputs it takes, are those of
params.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from augury.evidence.ledger import stages_of
from augury.pipeline.params import Params
from augury.pipeline.sections import Training

START = 5.0  # seconds that a process takes to start, which no stage counts
NOT_TRIED = "not tried"


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
    stages = lock.get("stages", {})
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


def trainings(params: Params) -> dict[str, Training]:
    """Stage -> its budget, in the pipeline's order."""
    gans = {f"train_gan@{name}": budget for name, budget in params.train_gan.items()}
    return {**gans, "train_vae": params.train_vae, "train_diffusion": params.train_diffusion}


def forecast(params: Params, last: Mapping[str, float], paces: Mapping[str, float | str]) -> list[Forecast]:
    """A line for every stage before `report`. last: stage -> seconds of its last run.

    paces: stage -> images per second of its trial, or why it failed.
    """
    budgets, lines = trainings(params), []
    for stage in stages_of(params):
        pace = paces.get(stage, "the time was up")
        if stage in last:
            lines.append(Forecast(stage, last[stage], "measured on the last run"))
        elif stage not in budgets:
            lines.append(Forecast(stage, None, NOT_TRIED))
        elif isinstance(pace, str):
            lines.append(Forecast(stage, None, f"tried in vain: {pace}"))
        else:
            kimg = budgets[stage].total_kimg
            lines.append(Forecast(stage, 1000 * kimg / pace, f"{kimg:g} kimg at {pace:,.0f} images/s"))
    return lines
