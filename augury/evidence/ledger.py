"""What a run cost and what its gains cost: costs of the stages, recipes of the arms and gains in, numbers out.

Seconds are those that the process of a stage took, start included; memory is in MiB, gains in percentage points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augury.pipeline.params import Params


@dataclass(frozen=True)
class StageCost:
    """One stage, or one entry of its matrix. seconds and the rest: None where it was not run here, or is not known."""

    stage: str
    seconds: float | None
    images: int | None
    peak_memory_mib: int | None

    @property
    def images_per_second(self) -> float | None:
        return self.images / self.seconds if self.images and self.seconds else None


@dataclass(frozen=True)
class ArmCost:
    """What an arm cost beyond its reference, and for which gain.

    over: the reference, or what a control repeats. seconds: of all that this arm needs, less all that the other needs;
    None where some of it was not run here.
    synthetic: whether synthetic images are what it adds. gain: in points; verdict: on it, where one was asked for;
    sure: whether it is above 0 beyond chance, by itself.
    extra_labels: of real images that the reference had not.
    computing, labels: prices of the seconds and of the extra labels; None where there is no price, or no seconds.
    price: of both, as far as params.yaml prices them; None where it prices neither, or the seconds are not known.
    """

    arm: str
    over: str
    seconds: float | None
    not_run: tuple[str, ...]
    synthetic: bool
    gain: float
    verdict: str | None
    sure: bool
    extra_labels: int
    computing: float | None
    labels: float | None
    price: float | None

    @property
    def seconds_per_point(self) -> float | None:
        """Seconds for each point gained, 0 where the arm took less time than its reference; None where it lost."""
        return _per_point(self.seconds, self.gain)

    @property
    def price_per_point(self) -> float | None:
        return _per_point(self.price, self.gain)


def _per_point(cost: float | None, gain: float) -> float | None:
    return None if cost is None or gain <= 0 else max(cost, 0.0) / gain


def stages_of(params: Params) -> list[str]:
    """The stages in the pipeline's order, with their matrix entries, as the files of data/costs.

    Without those that write what was found, `cards` and `report`: they take seconds, and may come after the page.
    """
    matrix = {
        "prepare": [""],
        "augment": [f"-{policy}" for policy in params.augment.policies],
        "train_gan": [f"-{architecture}" for architecture in params.train_gan],
        "train_vae": [""],
        "train_diffusion": [""],
        "train_pretrained": [f"-{name}" for name in params.train_pretrained],
        "sample": [f"-{generator}" for generator in params.sample.generators],
        "score": [f"-{generator}" for generator in params.sample.generators],
        "classify": [f"-{arm}" for arm in params.classify.arms],
    }
    of_replicates = (
        f"{stage}@{number}{entry}"
        for stage, entries in matrix.items()
        for number in params.replicates
        for entry in entries
    )
    return [*(f"base@{name}" for name in params.train_pretrained), *of_replicates, "compare"]


def stages_behind(arm: str, params: Params) -> list[str]:
    """The stages of replicate 0 that make an arm's training set, beside `prepare`, and train its classifiers.

    Scores are not among them: an arm can do without. A diffusion model in latent space needs the VAE.
    """
    recipe = params.classify.arms[arm]
    stages = [f"augment@0-{policy}" for policy in recipe.augment]
    for generator in recipe.synthetic:
        latent = generator == "diffusion" and params.train_diffusion.network.get("space", "latent") == "latent"
        stages += ["train_vae@0"] * latent
        if generator in params.train_pretrained:
            stages += [f"base@{generator}", f"train_pretrained@0-{generator}"]
        else:
            stages += [f"train_gan@0-{generator}" if generator in params.train_gan else f"train_{generator}@0"]
        stages += [f"sample@0-{generator}"]
    return list(dict.fromkeys([*stages, f"classify@0-{arm}"]))


def stage_costs(costs: Mapping[str, Mapping[str, Any]], params: Params) -> list[StageCost]:
    """A row for every stage of the pipeline. costs: stage -> content of its file in data/costs, where there is one."""
    rows = []
    for stage in stages_of(params):
        cost = costs.get(stage, {})
        rows.append(StageCost(stage, cost.get("seconds"), cost.get("images"), cost.get("peak_memory_mib")))
    return rows


def another_replicate(costs: Mapping[str, Mapping[str, Any]], params: Params) -> tuple[float, bool] | None:
    """Seconds of one more replicate, and whether that was measured on those beside 0.

    Where 0 is the only one, it is what 0 took, which has more seeds than the others. None where a stage was not run
    here.
    """
    totals = {}
    for number in params.replicates:
        stages = stages_of(params.model_copy(update={"replicates": [number]}))[:-1]
        if all(stage in costs for stage in stages):
            totals[number] = sum(costs[stage]["seconds"] for stage in stages)
    others = [seconds for number, seconds in totals.items() if number]
    if others:
        return sum(others) / len(others), True
    return (totals[0], False) if 0 in totals else None


def arm_costs(
    costs: Mapping[str, Mapping[str, Any]], params: Params, comparison: Mapping[str, Any], more_real: Mapping[str, int]
) -> list[ArmCost]:
    """A row for every arm but the reference.

    costs: as in `stage_costs`. comparison: the content of data/comparison.json. more_real: arm -> real images in its
    training set that others lack.
    """
    reference, rows = comparison["reference"], list[ArmCost]()
    if reference in comparison["chosen"]:
        reference = comparison["chosen"][reference]["use"]
    for arm, entry in comparison["arms"].items():
        if arm == reference:
            continue
        row, prices = entry["gain"][comparison["scope"]], params.report
        beside = row["over"] if row["over"] in params.classify.arms else reference
        behind, instead = stages_behind(arm, params), stages_behind(beside, params)
        # What both need cancels out, and need not have been run here.
        beyond = [stage for stage in behind if stage not in instead]
        saved = [stage for stage in instead if stage not in behind]
        not_run = tuple(stage for stage in [*beyond, *saved] if stage not in costs)
        seconds = None
        if not not_run:
            seconds = sum(costs[stage]["seconds"] for stage in beyond) - sum(costs[stage]["seconds"] for stage in saved)
        extra_labels = more_real[arm] - more_real[beside]
        computing = _times(seconds, prices.price_per_second)
        labels = _times(extra_labels, prices.price_per_label)
        lacking = prices.price_per_second is not None and computing is None
        priced = [price for price in (computing, labels) if price is not None]
        rows.append(
            ArmCost(
                arm=arm,
                over=row["over"],
                seconds=seconds,
                not_run=not_run,
                gain=100 * row["gain"],
                verdict=row["verdict"],
                synthetic=entry["kind"] == "synthetic",
                sure=row["verdict"] == "helps" if row["verdict"] else row["interval"][0] > 0,
                extra_labels=extra_labels,
                computing=computing,
                labels=labels,
                price=sum(priced) if priced and not lacking else None,
            )
        )
    return rows


def _times(amount: float | None, price: float | None) -> float | None:
    return None if amount is None or price is None else amount * price


def cheapest(rows: Sequence[ArmCost]) -> ArmCost | None:
    """The arm that helps at the fewest seconds a point; arms that need more labels are paid for otherwise.

    Of those that the correction for their number is for: the cheapest of many that stand alone may well be chance.
    """
    sure = [row for row in rows if row.synthetic and row.verdict == "helps" and row.seconds_per_point is not None]
    return min(
        (row for row in sure if not row.extra_labels), key=lambda row: row.seconds_per_point or 0.0, default=None
    )
