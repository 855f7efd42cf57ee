"""Move latents along the direction of an attribute, and measure what has changed: of it, of the others, of the class.

An edit may hold other attributes: their normals are projected out of its own (conditional manipulation, InterFaceGAN,
section 3.2), so that a step no longer goes towards more or less of them. Whether they then stay is measured, too.

`python -m studies.latent.edits stylegan`
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from statsmodels.stats.proportion import proportion_confint

from augury.generators.sampling import balanced_labels
from augury.images.grids import write_png
from augury.images.image_set import ImageSet
from augury.pipeline.conclusions import Compare
from augury.pipeline.outputs import read_json, whole_directory, write_json
from augury.pipeline.seeding import derive_seed
from augury.scores.fidelity import significant
from studies.latent.attributes import Measured, Measurements
from studies.latent.grids import tile_grid
from studies.latent.spaces import begin
from studies.workspace import ROOT, run


@dataclass(frozen=True)
class Edit:
    """direction: (D,), one step: a standard deviation of the latents within their class. held: attributes held."""

    target: str
    held: tuple[str, ...]
    direction: np.ndarray


def held(directions: np.ndarray, cosines: np.ndarray, target: int, others: Sequence[int]) -> np.ndarray | None:
    """The direction of `target` with the normals of others projected out, at full length again: (D,).

    directions (A, D) and cosines (A, A) as in points/boundaries: what is projected are the normals in whitened latents,
    and directions are the same linear maps of them. None where nothing is left: in a latent with fewer dimensions
    than attributes, say.
    """
    rows = list(others)
    if not rows:
        return directions[target]
    shares = np.linalg.pinv(cosines[np.ix_(rows, rows)]) @ cosines[rows, target]
    left = 1 - cosines[rows, target] @ shares  # square of the length of what is left of a normal of length 1
    if left < 1e-4:
        return None
    return (directions[target] - shares @ directions[rows]) / np.sqrt(left)


def edits_of(boundaries: Mapping[str, Any]) -> list[Edit]:
    """Every attribute's edit, alone, with each other one held, and with all others held, where that leaves anything."""
    names = list(boundaries["attributes"])
    directions = np.array([boundaries["attributes"][name]["direction"] for name in names])
    cosines = np.array(boundaries["cosines"])
    edits = []
    for target, name in enumerate(names):
        others = [other for other in range(len(names)) if other != target]
        groups = [[], *([other] for other in others), *([others] if len(others) > 1 else [])]
        for group in groups:
            direction = held(directions, cosines, target, group)
            if direction is not None:
                edits.append(Edit(name, tuple(names[other] for other in group), direction))
    return edits


def resampled_means(values: np.ndarray, resamples: int, confidence: float, seed: int) -> tuple[np.ndarray, ...]:
    """Means over images of values (N, ...), and the limits of their percentile bootstrap intervals: each (...)."""
    count = len(values)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples) / count
    means = drawn @ values.reshape(count, -1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return values.mean(axis=0), low.reshape(values.shape[1:]), high.reshape(values.shape[1:])


def slopes(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Change per step, by least squares for each image: values (S, N, A), steps (S,) -> (N, A)."""
    centred = steps - steps.mean()
    return np.einsum("s,sna->na", centred, values) / np.square(centred).sum()


def kept(predicted: np.ndarray, labels: np.ndarray, start: int, confidence: float) -> dict[str, Any]:
    """Of the images whose class the classifier confirms where the edit starts: the share that it confirms at each step.

    predicted (S, N), labels (N,); start: the row of step 0. With Wilson intervals; shares are None without such images.
    """
    confirmed = predicted == labels
    of_confirmed = confirmed[:, confirmed[start]]
    count = of_confirmed.shape[1]
    if count == 0:
        return {"n": 0, "share": None, "low": None, "high": None}
    low, high = proportion_confint(of_confirmed.sum(axis=1), count, alpha=1 - confidence, method="wilson")
    return {"n": count, "share": of_confirmed.mean(axis=1).tolist(), "low": low.tolist(), "high": high.tolist()}


def measure_edits(
    edits: Sequence[Edit],
    images: Callable[[np.ndarray], ImageSet],
    measure: Callable[[ImageSet], Measured],
    steps: np.ndarray,
    deviations: Mapping[str, float],
    compare: Compare,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """What each edit does, over N images, in the order of the edits.

    images: what is added to each of N latents -> their images, labelled. steps: (S,) ascending, 0 among them.
    deviations: of each attribute within a class, the unit of the effects. effects: change per step in deviations, by
    least squares over the steps. change: in the attribute's own unit, at every step, from step 0. Intervals are over
    images.
    """
    start, units = int(np.flatnonzero(steps == 0)[0]), np.array(list(deviations.values()))
    unmoved = images(np.zeros(()))
    at_start = measure(unmoved)
    for edit in edits:
        measured = [at_start if step == 0 else measure(images(step * edit.direction)) for step in steps]
        values = np.stack([one.values for one in measured])  # (S, N, A)
        effects, change = (
            resampled_means(each, compare.resamples, compare.confidence, seed)
            for each in (slopes(values, steps) / units, (values - values[start]).transpose(1, 0, 2))
        )
        yield {
            "target": edit.target,
            "held": list(edit.held),
            "effects": {
                name: dict(zip(("effect", "low", "high"), (float(part[column]) for part in effects), strict=True))
                for column, name in enumerate(deviations)
            },
            "change": {
                name: {key: part[:, column].tolist() for key, part in zip(("mean", "low", "high"), change, strict=True)}
                for column, name in enumerate(deviations)
            },
            "kept": kept(np.stack([one.predicted for one in measured]), unmoved.labels, start, compare.confidence),
        }


def most_moved(row: Mapping[str, Any]) -> str:
    """The attribute that an edit moves most, beside its target."""
    sizes = {name: abs(effect["effect"]) for name, effect in row["effects"].items() if name != row["target"]}
    return max(sizes, key=lambda name: sizes[name])


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top, space = begin(generator, here, root)
    boundaries = read_json(here / "points/boundaries" / f"{generator}.json")
    measure = Measurements.by_real_images(study.attributes, root, top.seed, space.device)

    rules, edits = study.edits, edits_of(boundaries)
    steps = np.array(rules.steps, dtype=np.float64)
    labels = balanced_labels(len(space.class_names), rules.per_class)
    latents = space.draw(labels, top.seed, "edits").numpy().astype(np.float64)

    def pixels(at: np.ndarray, of: np.ndarray) -> np.ndarray:
        return space.images(torch.from_numpy(at.astype(np.float32)), of)

    def moved_by(added: np.ndarray) -> ImageSet:
        return ImageSet(pixels(latents + added, labels), labels, space.class_names)

    deviations = {name: boundaries["attributes"][name]["deviation"] for name in study.attributes}
    seed = derive_seed(top.seed, "edits", generator)
    rows = list(measure_edits(edits, moved_by, measure, steps, deviations, top.compare, seed))
    chosen = {row["target"]: most_moved(row) for row in rows if not row["held"]}
    with whole_directory(here / "points/edits" / generator) as folder:
        for edit, row in zip(edits, rows, strict=True):
            row["picture"] = None
            if not edit.held or edit.held == (chosen[edit.target],):
                row["picture"] = "_holding_".join([edit.target, *edit.held]) + ".png"
                moved = latents[: rules.shown, None] + steps[:, None] * edit.direction  # (shown, S, D)
                strip = pixels(moved.reshape(-1, space.dimension), np.repeat(labels[: rules.shown], len(steps)))
                write_png(folder / row["picture"], tile_grid(strip.reshape(*moved.shape[:2], *strip.shape[1:])))
        content = {
            "generator": generator,
            "latent": space.symbol,
            "n": len(labels),
            "per_class": rules.per_class,
            "steps": rules.steps,
            "shown": [space.class_names[label] for label in labels[: rules.shown]],
            "deviations": deviations,
            "edits": rows,
        }
        write_json(folder / "edits.json", significant(content))


if __name__ == "__main__":
    run("latent", main)
