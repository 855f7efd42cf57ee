"""Verdicts on runs in which all is drawn again: `python -m benchmarks.redrawn judge NAME ...`.

`python -m benchmarks.redrawn NAME DRAWS [SOURCE=FOLDER]` makes the runs of a pool, in .cache/redrawn/NAME. Each draw of
labels is a replicate of the pipeline's own stages, called one after the other in one process: labels, augmented copies,
two trainings of a VAE on the same labels, samples of both, classifiers. With `sets` after NAME, each is a set of its
own instead, with eight seeds and one training; with `heavy`, a synthetic image weighs as much as a real one on every
seed, whatever folds say, so that trainings and samples matter the most. It goes on where it was stopped.
SOURCE=FOLDER: of prepare, such as imagefolder=photographs; the default is Fashion-MNIST. A draw takes about two minutes
of one core.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.crossed import Crossed
from augury.evidence.results import Results
from augury.evidence.statistics import spread_alike
from augury.evidence.verdicts import verdict
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_file
from augury.pipeline.params import Params
from augury.pipeline.process import one_line_errors
from augury.pipeline.replicates import Replicate
from augury.pipeline.sections import Arm
from augury.pipeline.seeding import derive_seed
from stages import augment, classify, prepare, sample, train_vae
from studies.workspace import make_workspace

POOLS = Path(".cache/redrawn").resolve()
ARMS = {
    "classic": Arm(augment=["classic"]),
    "again": Arm(augment=["classic"], draw=1),  # the same arm
    "none": Arm(),
    "placebo": Arm(augment=["classic"], repeat=1.0),
    "more_real": Arm(augment=["classic"], more_real=1.0),
    "vae": Arm(augment=["classic"], synthetic={"vae": 1.0}),
    "vae_again": Arm(augment=["classic"], synthetic={"vae": 1.0}, draw=1),  # another sample of the same generator
}
OTHER = "vae_trained_again"  # another training on the same labels, with a sample and copies of its own
LABELS, SEEDS, SEEDS_OF_A_SET = 20, 2, 8
SETTINGS: dict[str, Any] = {
    "prepare": {"labels_per_class": LABELS, "near_duplicates": "ignore"},  # a search of half a minute a draw
    "train_vae": {
        "total_kimg": 8,
        "batch_size": 16,
        "warmup_kimg": 1,
        "ema_halflife_kimg": 0.5,
        "snapshot_every_kimg": 4,
    },
}
ALPHA, MATTERS, TRIALS = 0.05, 0.005, 400
SAME = [("classic", "again"), ("vae", "vae_again"), ("vae", OTHER)]  # arms that are the same by construction
GAINING = ("none", "placebo", "vae", "more_real")

Pool = dict[str, np.ndarray]  # arm -> (draws, seeds, N)


def main(name: str, draws: int, source: str | None = None, *, sets: bool = False, heavy: bool = False) -> None:
    pool = POOLS / name
    if not pool.exists():
        where = {}
        if source is not None:
            kind, folder = source.split("=", 1)
            where = {"source": kind, "folder": str(Path(folder).resolve())}
        seeds = SEEDS_OF_A_SET if sets else SEEDS
        of_seeds = {"seeds": list(range(seeds))} | ({"synthetic_weight": [1]} if heavy else {})
        drawn = {"sample": {"per_class": 2 * seeds * LABELS}, "classify": of_seeds}
        make_workspace(pool, ARMS, SETTINGS | drawn | {"prepare": SETTINGS["prepare"] | where})
    os.chdir(pool)
    settings = params.load()
    for number in range(draws):
        path = pool / f"{number}.npz"
        if path.exists():
            continue
        if sets:
            of_set = settings.model_copy(update={"seed": number})
            right = one_draw(of_set, Replicate(0, Path(f"{number}/data")))
        else:
            right = one_draw(settings.of_replicate(number), Replicate(number), trained_again=True)
        with whole_file(path) as partial:
            np.savez_compressed(partial, **right)
        print(number, {arm: f"{100 * values.mean():.2f}" for arm, values in right.items()}, flush=True)


def one_draw(settings: Params, replicate: Replicate, trained_again: bool = False) -> dict[str, np.ndarray]:
    """Arm -> (seeds, N) bool: which test images each seed's classifier got right."""
    prepare.main(settings, replicate)
    augment.main(settings, "classic", replicate)
    train_vae.main(settings, replicate)
    sample.main(settings, "vae", replicate)
    right = {arm: right_of(settings, arm, replicate) for arm in ARMS}
    if trained_again:
        again = Replicate(replicate.number, Path("again/data"))
        for kind in ("splits", "augmented"):
            (again.data / kind).mkdir(parents=True, exist_ok=True)
            if not again.folder(kind).exists():
                again.folder(kind).symlink_to(replicate.folder(kind).resolve())
        other = settings.model_copy(update={"seed": derive_seed(settings.seed, "trained again")})
        train_vae.main(other, again)
        sample.main(other, "vae", again)
        right[OTHER] = right_of(settings, "vae_again", again)
    return right


def right_of(settings: Params, arm: str, replicate: Replicate) -> np.ndarray:
    classify.main(settings, arm, replicate)
    seeds = settings.classify.seeds_of(replicate.number)
    return Results(replicate.data, replicate.number).runs(arm, seeds).right


def crossed(arm: np.ndarray, reference: np.ndarray) -> Crossed:
    """(R, N), whether each image was right, or how often."""
    values = np.subtract(arm, reference, dtype=float)
    return replace(Crossed.of(values), idle=int((~values.any(axis=1)).sum()))


def word_of(analysis: Crossed) -> str:
    """As `compare` judges a family of one."""
    return verdict(analysis.gain, analysis.p_value, analysis.interval(ALPHA), ALPHA, MATTERS)


def is_false(verdicts: list[str]) -> str:
    """Of arms that are the same."""
    none = verdicts.count("no difference that matters") / len(verdicts)
    wrong = sum(verdict in ("helps", "hurts") for verdict in verdicts) / len(verdicts)
    return f"{wrong:.1%} of {len(verdicts)} help or hurt; {none:.1%} make no difference that matters"


def coverage(pool: Pool, rows: int, images: int, random: np.random.Generator) -> Iterator[str]:
    """Of each arm, how many intervals hold its true gain over classic.

    pool: arm -> (draws or seeds, N), of which `rows` and `images` are drawn with replacement, the same for all arms;
    their mean is the truth. An arm whose images weigh nothing on all rows has no interval on the page.
    """
    gains = {arm: pool[arm] - pool["classic"] for arm in GAINING}
    found: dict[str, list[Crossed]] = {arm: [] for arm in GAINING}
    for _ in range(TRIALS):
        drawn = random.integers(len(pool["classic"]), size=rows)
        among = random.integers(pool["classic"].shape[1], size=images)
        of_arms = {arm: gain[drawn][:, among] for arm, gain in gains.items()}
        for arm, analysis in spread_alike({arm: crossed(gain, 0 * gain) for arm, gain in of_arms.items()}).items():
            found[arm].append(analysis)
    for arm, analyses in found.items():
        truth = gains[arm].mean()
        shown = [analysis.interval(ALPHA) for analysis in analyses if analysis.idle < rows]
        held = np.mean([low <= truth <= high for low, high in shown]) if shown else np.nan
        printed = [analysis.power(abs(truth), ALPHA) for analysis in analyses]
        helps = np.mean([word_of(analysis) == ("helps" if truth > 0 else "hurts") for analysis in analyses])
        yield (
            f"{arm}: true gain {100 * truth:+.2f}; {held:.1%} of {len(shown)} intervals hold it; power "
            f"{np.median(printed):.1%} as printed (median; mean {np.mean(printed):.1%}), {helps:.1%} in fact"
        )


def judge_budget(pool: Pool, random: np.random.Generator) -> None:
    """Replicates: of the same arms in the same draws, and in draws of other labels; of other arms, the intervals."""
    draws, _, images = pool["classic"].shape
    for rows in (rows for rows in (2, 3, 5, 8) if rows <= draws):
        for (arm, other), other_labels in itertools.product(SAME, (False, True)):
            if (1 + other_labels) * rows > draws:
                continue
            verdicts = []
            for _ in range(TRIALS):
                order = random.permutation(draws)
                first, second = order[:rows], order[rows : 2 * rows] if other_labels else order[:rows]
                pair = pool[arm][first].mean(axis=1), pool[other][second].mean(axis=1)
                verdicts.append(word_of(crossed(*pair)))
            labels = "other labels" if other_labels else "the same labels"
            print(f"  {rows} replicates, {arm} against {other}, {labels}: {is_false(verdicts)}")
        for count in sorted({min(1000, images), images}):
            for said in coverage({arm: right.mean(axis=1) for arm, right in pool.items()}, rows, count, random):
                print(f"  {rows} replicates, {count} images, {said}")


def judge_sets(pool: Pool, random: np.random.Generator) -> None:
    """Sets: of the same arms, four of the seeds each; of other arms, the intervals."""
    sets, seeds, images = pool["classic"].shape
    for arm, other in SAME[:2]:
        verdicts = [
            word_of(crossed(*(pool[name][number][random.permutation(seeds)[:4]] for name in (arm, other))))
            for number in range(sets)
            for _ in range(TRIALS // sets)
        ]
        print(f"  4 seeds, {arm} against {other}: {is_false(verdicts)}")
    for number in range(sets):
        for said in coverage({arm: right[number] for arm, right in pool.items()}, 4, images, random):
            print(f"  set {number}, 4 seeds, {said}")


def judge(name: str) -> None:
    files = sorted((POOLS / name).glob("*.npz"), key=lambda path: int(path.stem))
    if not files:
        raise UserError(f"{POOLS / name}: no draws; make them with `python -m benchmarks.redrawn {name} DRAWS`")
    draws = [dict(np.load(path)) for path in files]
    pool = {arm: np.stack([draw[arm] for draw in draws]).astype(np.float32) for arm in draws[0]}
    count, seeds, images = pool["classic"].shape
    print(f"{name}: {count} draws of labels, {seeds} seeds, {images} test images")
    (judge_budget if OTHER in pool else judge_sets)(pool, np.random.default_rng(0))


if __name__ == "__main__":
    with one_line_errors("redrawn"):
        name, *words = sys.argv[1:] or [""]
        asked = [word for word in words if word not in ("sets", "heavy")]
        if name == "judge" and words:
            for pool in words:
                judge(pool)
        elif len(asked) in (1, 2) and asked[0].isdecimal():
            main(name, int(asked[0]), *asked[1:], sets="sets" in words, heavy="heavy" in words)
        else:
            sys.exit("usage: python -m benchmarks.redrawn NAME [sets] [heavy] DRAWS [SOURCE=FOLDER] | judge NAME ...")
