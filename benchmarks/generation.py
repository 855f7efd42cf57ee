"""What `python -m augury generate` does and costs: `python -m benchmarks.generation [PART]`, about 15 minutes.

PART: speed (memory, linear cost and throughput beside the bare generator, and what the filter costs), kills (SIGKILL at
random moments, then on to the end), processes (torchrun with 1, 2 and 3), loading. The generator is a DCGAN of the
default size for 32 x 32 RGB images of 10 classes. It is untrained, with weights so large that its images are noise:
what PNG is slowest with.
"""

import hashlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.generators.sampling import balanced_labels, sample_images
from augury.generators.weights import load_generator, save_generator
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.outputs import whole_directory
from augury.pipeline.process import one_line_errors
from models.dcgan import DCGAN

CHECKOUT = Path(__file__).resolve().parents[1]
CLASSES, SIZE, BATCH_SIZE = 10, 32, 250
GENERATE = ["-m", "augury", "generate", "--generator", "dcgan"]
FEW, MANY = 10_000, 100_000
ROUNDS, KILLS = 3, 20


def make_workspace(folder: Path) -> None:
    """params.yaml, a generator, and splits for its filter to learn from: images of its own, from another seed."""
    (folder / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    class_names = tuple(f"class {label}" for label in range(CLASSES))
    torch.manual_seed(0)
    network = DCGAN(DCGAN.Config(), SIZE, 3, CLASSES).eval().requires_grad_(False)
    for weights in network.parameters():
        if weights.ndim > 1:
            weights.mul_(4)
    for norm in network.norms:
        norm.bias.weight.normal_()  # type: ignore[operator, union-attr]  # by which classes differ
    with whole_directory(folder / "data/generators/0/dcgan") as generator:
        save_generator(generator, "dcgan", network, 3, class_names, SIZE)
    for split, per_class in (("train", 80), ("validation", 20)):
        labels = balanced_labels(CLASSES, per_class)
        images = sample_images(network, labels, class_names, origin=split, seed=1, device=torch.device("cpu"))
        images.write(folder / "data/splits/0" / split)


def start(folder: Path, out: str, images: int, *options: str, processes: int = 1) -> subprocess.Popen[bytes]:
    """Begin to generate `images` images into folder/out."""
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *(["-m", *launch] if launch else []), *GENERATE]
    return subprocess.Popen(
        [*command, "--per-class", str(images // CLASSES), "--out", out, *options],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """Of a command: peak memory in MiB, seconds on the clock, and seconds of all cores together."""

    peak: float
    seconds: float
    core_seconds: float


def finished(process: subprocess.Popen[bytes], started: float) -> Cost:
    """Wait for a process that was started at `started`."""
    status, peak = Path(f"/proc/{process.pid}/status"), 0.0
    while True:
        # Its own peak: what wait4 tells begins with the memory of this process, out of which it came.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        peak = max(peak, int(found[1]) / 1024 if found else 0.0)  # none once it has ended
        ended, outcome, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    process.returncode = os.waitstatus_to_exitcode(outcome)
    if process.returncode != 0:
        raise RuntimeError(f"generate ended with status {process.returncode}")
    return Cost(peak, time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


def contents(folder: Path) -> dict[str, str]:
    """File -> digest of its bytes."""
    return {path.name: hashlib.blake2b(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def bare(folder: Path, images: int) -> tuple[float, float]:
    """Seconds on the clock and of all cores for the generator alone, in batches, with all of torch's threads."""
    loaded, _ = load_generator(folder / "data/generators/0/dcgan", torch.device("cpu"))
    network: Any = loaded
    labels, generator = torch.arange(BATCH_SIZE) % CLASSES, torch.Generator().manual_seed(0)
    network.sample(labels, generator=generator)
    started, worked = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        for _ in range(images // BATCH_SIZE):
            network.sample(labels, generator=generator)
    return time.perf_counter() - started, time.process_time() - worked


def speed(folder: Path) -> None:
    choose_device("cpu")
    forward: list[tuple[float, float]] = []
    few: list[Cost] = []
    many: list[Cost] = []
    for number in range(ROUNDS):
        for images, costs in ((FEW, few), (MANY, many)):
            forward.append(bare(folder, FEW))
            started = time.perf_counter()
            costs.append(finished(start(folder, f"{images}-{number}", images, "--no-filter"), started))
        forward.append(bare(folder, FEW))
        print(f"  round {number + 1}: {few[-1]}, {many[-1]}, bare {forward[-3:]}", flush=True)
    peaks, seconds, core_seconds = (
        [statistics.median(getattr(cost, name) for cost in costs) for costs in (few, many)]
        for name in ("peak", "seconds", "core_seconds")
    )
    per_second, per_core_second = (FEW / statistics.median(run[clock] for run in forward) for clock in (0, 1))
    slope = (seconds[1] - seconds[0]) / (MANY - FEW)
    rate = MANY / seconds[1]
    print(f"unfiltered, {torch.get_num_threads()} threads, {FEW:,} and {MANY:,} images, medians of {ROUNDS} rounds:")
    print(f"  peak memory {peaks[0]:.0f} and {peaks[1]:.0f} MiB: {peaks[1] / peaks[0]:.3f}")
    print(f"  {seconds[0]:.1f} and {seconds[1]:.1f} s, of which {seconds[0] - slope * FEW:.1f} s to start")
    print(f"  generator alone {per_second:,.0f} images/s, whole command {rate:,.0f}: {rate / per_second:.1%}; ", end="")
    print(f"without its start {1 / slope:,.0f}: {1 / slope / per_second:.1%}")
    print(f"  by seconds of cores: {MANY / core_seconds[1] / per_core_second:.1%}")
    started = time.perf_counter()
    filtered = finished(start(folder, "filtered", FEW // 2), started)
    kept = len(ImageSet.read(folder / "filtered"))
    print(f"filtered: {filtered.seconds:.1f} s, {filtered.peak:.0f} MiB for {kept:,} images of {FEW // 2:,} asked for")


def kills(folder: Path) -> None:
    options = ("--no-filter", "--images-per-shard", "500")
    started = time.perf_counter()
    finished(start(folder, "whole", FEW, *options), started)
    whole, expected = time.perf_counter() - started, contents(folder / "whole")
    random, same, moments = np.random.default_rng(0), 0, []
    for number in range(KILLS):
        out = f"killed-{number}"
        process = start(folder, out, FEW, *options)
        time.sleep(moment := random.uniform(0.2, 1.0) * whole)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done = len(list((folder / out).glob("train-*"))) if (folder / out).exists() else 0
        moments.append(f"{moment:.1f} s ({done})")
        finished(start(folder, out, FEW, *options), time.perf_counter())
        same += contents(folder / out) == expected
    print(f"kills: {same} of {KILLS} folders byte-identical to that of an uninterrupted run of {whole:.1f} s")
    print(f"  killed after (shards done, of {FEW // 500}): {', '.join(moments)}")


def processes(folder: Path) -> None:
    for options in (("--no-filter",), ()):
        found = []
        for count in (1, 2, 3):
            out = f"{count}-processes{'' if options else '-filtered'}"
            started = time.perf_counter()
            process = start(folder, out, FEW // 2, "--images-per-shard", "700", *options, processes=count)
            finished(process, started)
            found.append(contents(folder / out))
        same = "byte-identical" if found[0] == found[1] == found[2] else "DIFFER"
        print(f"processes: 1, 2 and 3, {'unfiltered' if options else 'filtered'}: {len(found[0])} files {same}")


def loading(folder: Path) -> None:
    count = 50_000
    random = np.random.default_rng(0)
    smooth = random.integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    for name, pixels in (("noise", random.integers(0, 256, smooth.shape, np.uint8)), ("flat patches", smooth)):
        rows = np.arange(count)
        ImageSet(pixels, rows % CLASSES, tuple("abcdefghij"), {"index": rows}).write(folder / name)
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            read = ImageSet.read(folder / name)
            seconds.append(time.perf_counter() - started)
        assert np.array_equal(read.pixels, pixels)
        print(f"loading: {count / statistics.median(seconds):,.0f} images/s from Parquet to uint8, {name}", end="")
        print(f" (slowest of 5: {count / max(seconds):,.0f})")


PARTS = {"speed": speed, "kills": kills, "processes": processes, "loading": loading}


@contextmanager
def workspace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="augury-bench-") as name:
        make_workspace(Path(name))
        yield Path(name)


if __name__ == "__main__":
    with one_line_errors("generation"):
        asked = sys.argv[1:] or list(PARTS)
        if any(name not in PARTS for name in asked):
            sys.exit(f"usage: python -m benchmarks.generation [PART]; choose from {', '.join(PARTS)}")
        for name in asked:
            with workspace() as folder:
                PARTS[name](folder)
