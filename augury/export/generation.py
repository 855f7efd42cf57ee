"""A labelled synthetic set of any size out of a trained generator, a shard at a time.

A plan comes first: how many images of each class a shard holds, and which draws of the class are its own. A shard is a
function of the plan and its number, so that any process makes any shard, in any order, again after a kill, with the
same bytes; each is made on one thread. A filter has `max_draws` draws per image in reserve for every shard, so that
which images pass depends on how a set is cut into shards. Without a filter it does not.
"""

import contextlib
import dataclasses
import logging
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from tqdm import tqdm

from augury.evidence.results import Results
from augury.export.cards import dataset_card, weights_digest
from augury.export.generation_plan import CARD, Plan, claim, make_plan, read_plan, record
from augury.generators.sampling import labels_in_turn, sample_images
from augury.generators.starts import Sources
from augury.generators.weights import load_generator
from augury.heads.selection import Judgement, Selector, fill_quota, refusals
from augury.images.image_set import ImageSet
from augury.images.shards import class_counts
from augury.pipeline.destinations import check_new_folder
from augury.pipeline.devices import choose_device
from augury.pipeline.drawing import Drawing, Filter
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, whole_file
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.threads import in_threads, single_threaded

GENERATORS, SPLITS = Replicate().folder("generators"), Replicate().folder("splits")
NETWORK = ("mode", "backbone", "pretrained", "resolution")  # of the classifier, which the filter judges by
ROWS, RAW_BYTES = 4096, 64 * 2**20  # of a shard at most, unless asked for otherwise
CPU_BATCH_SIZE = 64  # images at most: larger batches leave the cache, which costs a DCGAN a sixth of its speed
JUDGED_AT_ONCE = 512  # images: their features are larger than they are
PATIENCE = timedelta(days=30)  # of a process that waits for the others to finish their shards

log = logging.getLogger(__name__)


def generate(
    params: Params, generator: str, folder: Path, *, per_class: int | None, filtered: bool, rows: int | None = None
) -> None:
    """Make a set in `folder`, or what is left of it to make; under torchrun each process takes its share of shards.

    per_class: images of each class that pass the filter; None: as many as make it as large as the largest class of the
    training images. rows: images per shard. Raises UserError where the generator or the splits are not there, and where
    the folder may not be written to, or holds anything but the beginning of this very set.
    """
    check_new_folder(folder, "--out")
    device = choose_device(params.device)
    network, class_names = load_generator(GENERATORS / generator, device)
    config = read_json(GENERATORS / generator / "config.json")
    raw_bytes = config["image_size"] ** 2 * config["channels"]
    drawing = params.sample.generators[generator]
    needed = ("train", "validation") if filtered else ("train",) if drawing.from_images else ()
    splits = [ImageSet.read(SPLITS / split) for split in needed]
    for images in splits:
        check_classes(images.class_names, class_names, generator)
    rules = params.sample.filter if filtered else None
    quota = np.full(len(class_names), per_class) if per_class else missing_images(class_names, generator)
    batch_size = params.sample.batch_size if device.type == "cuda" else min(params.sample.batch_size, CPU_BATCH_SIZE)
    content = {
        "generator": generator,
        "weights": weights_digest(GENERATORS / generator),
        "seed": params.seed,
        "options": drawing.model_dump(exclude_none=True),
        "filtered": filtered,
        "filter": rules.model_dump(exclude_defaults=True) if rules else None,
        "filter_network": params.classify.model_dump(include=set(NETWORK)) if rules else None,
        "real_images": [images.digest() for images in splits]
        or None,  # that the filter goes by, or that images start from
        "images_per_class": dict(zip(class_names, quota.tolist(), strict=True)),
        "batch_size": batch_size,
        "device": device.type,
    }
    if base := Results().base(generator):
        told = {key: value for key, value in base.items() if key != "files"}
        content["base"] = {**told, "kept_kimg": Results().training(generator)["kept_kimg"]}
    plan = make_plan(content, quota, rows or max(1, min(ROWS, RAW_BYTES // raw_bytes)), rules)

    processes = PartialState(cpu=device.type == "cpu", timeout=PATIENCE)
    if processes.is_main_process:
        claim(folder, plan)
    processes.wait_for_everyone()
    if (claimed := read_plan(folder)) is None or plan.differences(claimed):
        raise UserError(f"{folder}: process {processes.process_index} does not see the plan there; share one folder")
    shards = range(processes.process_index, len(plan.quotas), processes.num_processes)
    there = [(folder / name).exists() for name in plan.files()]
    waiting = [shard for shard in shards if not there[shard]]
    if processes.is_main_process:
        log.info("generate: %s images in %d shards, %d of them there", f"{quota.sum():,}", len(there), sum(there))
    if waiting:
        device = processes.device if device.type == "cuda" else device
        network, select = network.to(device), None
        with single_threaded():
            sources = Sources.of(network, splits[0], drawing, device) if splits else None
            if filtered:
                select = Selector(splits[0], splits[1], params.sample.filter, params.classify, params.seed, device)
        total = int(plan.quotas[list(shards)].sum())
        with tqdm(
            total=total, initial=total - int(plan.quotas[waiting].sum()), desc=f"generate {generator}", unit="image",
            disable=None if processes.is_main_process else True,
        ) as bar:  # fmt: skip
            maker = ShardMaker(
                plan, network, class_names, drawing, sources, select, params.sample.filter, device, folder, bar.update
            )
            for _ in in_threads(maker, waiting, device, at_once=cores(), give_up=maker.stopped.set):
                pass
    processes.wait_for_everyone()
    if processes.is_main_process:
        finish(folder, plan, params, config)
    processes.destroy_process_group()


@dataclasses.dataclass
class ShardMaker:
    """Makes shards by their numbers, several at a time in threads of their own.

    sources: what images start from; None: the prior. select: judges images, or None where all are kept.
    advance: told how many more images there are.
    """

    plan: Plan
    network: Any
    class_names: tuple[str, ...]
    drawing: Drawing
    sources: Sources | None
    select: Selector | None
    rules: Filter
    device: torch.device
    folder: Path
    advance: Callable[[int], object]

    def __post_init__(self) -> None:
        self.stopped, self._lock = threading.Event(), threading.Lock()
        # One at a time on a GPU, while others encode and write: more would need its memory several times over.
        self._turn: Any = contextlib.nullcontext() if self.device.type == "cpu" else threading.Lock()

    def __call__(self, shard: int) -> None:
        quota, first = self.plan.quotas[shard], self.plan.firsts[shard]
        left = int(quota.sum())

        def advance(count: int) -> None:
            nonlocal left
            if self.stopped.is_set():
                raise RuntimeError("given up")
            count, left = min(count, left), max(left - count, 0)
            with self._lock:
                self.advance(count)

        def draw(labels: np.ndarray, drawn: np.ndarray) -> ImageSet:
            content = self.plan.content
            with self._turn:
                return sample_images(
                    self.network, labels, self.class_names, origin=content["generator"], seed=content["seed"],
                    device=self.device, batch_size=content["batch_size"], drawn=drawn, drawing=self.drawing,
                    sources=self.sources, advance=advance if self.select is None else lambda batch: advance(0),
                )  # fmt: skip

        if self.select is None:
            images = draw(labels_in_turn(quota), first)
            counts = {
                name: {"drawn": count, "kept": count}
                for name, count in zip(self.class_names, quota.tolist(), strict=True)
            }
        else:
            judge = self._judge(self.select, advance)
            images, counts = fill_quota(draw, judge, quota, self.rules, self.class_names, first)
            advance(left)  # what it is short of will not come
        images.write_shard(self.folder / self.plan.files()[shard], counts)

    def _judge(self, select: Selector, advance: Callable[[int], None]) -> Callable[[ImageSet], Judgement]:
        def judge(images: ImageSet) -> Judgement:
            parts = []
            for rows in images.slices(JUDGED_AT_ONCE):
                with self._turn:
                    parts.append(select(images.select(np.arange(len(images))[rows]), progress=False))
                passed = parts[-1].passed
                confident = self.rules.keep == "confident"  # otherwise all draws are made, and the best are kept
                advance(int(passed.sum() if confident else len(passed) / self.rules.max_draws))
            return Judgement.joined(parts)

        return judge


def missing_images(class_names: tuple[str, ...], generator: str) -> np.ndarray:
    """How many images each class of the training split lacks of the largest one's number, (K,) int64."""
    counts = class_counts(SPLITS / "train")
    check_classes(tuple(counts), class_names, generator)
    quota = max(counts.values()) - np.array(list(counts.values()))
    if not quota.any():
        raise UserError(f"--balance: every class of {SPLITS / 'train'} has {max(counts.values())} images already")
    return quota


def check_classes(real: tuple[str, ...], generated: tuple[str, ...], generator: str) -> None:
    if real != generated:
        raise UserError(f"{SPLITS}: its classes are not those of {generator}; run `dvc repro` to train it on them")


def cores() -> int:
    """Threads for this process: as torch has, or under torchrun its share of the machine's cores."""
    if "LOCAL_WORLD_SIZE" not in os.environ:
        return torch.get_num_threads()
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ["LOCAL_WORLD_SIZE"]))


def finish(folder: Path, plan: Plan, params: Params, config: dict[str, Any]) -> None:
    """Count what was made, say what is short, and write the card, whose presence means that the set is complete."""
    generation = record(folder, plan)
    for name, missing in generation["short"].items():
        counts = generation["classes"][name]
        log.warning(
            "generate: %s: short of %d of %d images after %d draws; %s",
            name, missing, counts["asked"], counts["drawn"], refusals(counts),
        )  # fmt: skip
    kept = [counts["kept"] for counts in generation["classes"].values()]
    if not any(kept):
        raise UserError(f"sample.filter: no image passed; {params.sample.filter.advice}, or use --no-filter")
    if not (folder / CARD).exists():
        card = dataset_card(
            params, origin=generation["generator"], class_names=config["class_names"], counts=kept,
            image_size=config["image_size"], channels=config["channels"], layout="parquet", data_files="*.parquet",
            generation=generation, results=Results(),
        )  # fmt: skip
        with whole_file(folder / CARD) as partial:
            partial.write_text(card, encoding="utf-8", newline="\n")
    log.info("generate: %s images in %s", f"{sum(kept):,}", folder)
