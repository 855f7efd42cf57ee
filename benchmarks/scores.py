"""Speed and memory of the scores: `python -m benchmarks.scores PART`, or without PART all of them (about 40 minutes).

Parts: matrix (Frechet distance against pytorch-fid's), manifold (precision, recall, density, coverage against prdc's),
again (a second scoring against the same real images), stream (10,000 against 100,000 images), fid (two folders of 1,000
PNG files, against pytorch-fid's command line). Comparisons take turns in one run and give ratios of medians.
Inception's weights are random here, the same for both sides: times do not depend on them.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import prdc
import pytorch_fid.inception
import torch
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance

from augury.images.extractor import Extractor, efficientnet_lite0
from augury.images.frechet import frechet_distance
from augury.images.image_set import ImageSet
from augury.images.streams import stream_of
from augury.pipeline.process import one_line_errors
from augury.pipeline.sections import FeatureExtractor
from augury.scores.extractors import build_extractor
from augury.scores.gathering import gather
from augury.scores.neighbours import manifold_scores

CPU = torch.device("cpu")


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def matrix(repetitions: int = 5) -> None:
    """10,000 + 10,000 features of 2,048 dimensions, correlated as features of images are."""
    warnings.simplefilter("ignore", DeprecationWarning)  # pytorch-fid's call of scipy's sqrtm
    random = np.random.default_rng(0)
    mixing = random.normal(size=(2048, 2048)) / 45 * np.exp(-np.arange(2048) / 400)
    first = (random.normal(size=(10_000, 2048)) @ mixing).astype(np.float32)
    second = (1.1 * random.normal(size=(10_000, 2048)) @ mixing + 0.01).astype(np.float32)

    doubles = first.astype(np.float64), second.astype(np.float64)  # as pytorch-fid keeps them

    def fit() -> list[np.ndarray]:
        return [moment for x in doubles for moment in (np.mean(x, axis=0), np.cov(x, rowvar=False))]

    ours, fits, theirs = [], [], []
    fitted = fit()
    for _ in range(repetitions):
        seconds, own = timed(lambda: frechet_distance(first, second))
        ours.append(seconds)
        fits.append(timed(fit)[0])
        seconds, other = timed(lambda: calculate_frechet_distance(*fitted))
        theirs.append(seconds)
    whole = [a + b for a, b in zip(fits, theirs, strict=True)]
    print(f"matrix: ours, from features {spread(ours)}; pytorch-fid's matrix step {spread(theirs)}, with means and")
    print(f"  covariances {spread(whole)}")
    print(f"  ratio to the matrix step alone {statistics.median(theirs) / statistics.median(ours):.2f}, ", end="")
    print(f"from features {statistics.median(whole) / statistics.median(ours):.2f}; ", end="")
    print(f"relative difference {abs(own / other - 1):.1e}")


def pool_features(count: int) -> tuple[np.ndarray, np.ndarray]:
    """EfficientNet-Lite0's features of two disjoint random parts of Fashion-MNIST's training images."""
    from augury.pipeline import params
    from augury.sources.registry import SOURCES

    pool = SOURCES["fashion_mnist"](params.load().prepare).pool
    rows = np.random.default_rng(0).permutation(len(pool))[: 2 * count]
    extractor = efficientnet_lite0(64)
    return extractor(pool.select(rows[:count]), CPU), extractor(pool.select(rows[count:]), CPU)


PEAK_OF_MANIFOLD = """
import numpy
from augury.scores.neighbours import manifold_scores
from benchmarks.scores import peak_memory
real, generated = numpy.load("real.npy"), numpy.load("generated.npy")
manifold_scores(real[:600], generated[:600], 5)  # libraries take their own share the first time
before = peak_memory()
manifold_scores(real, generated, 5)
print(peak_memory() - before)
"""
PEAK_OF_COMMAND = """
import sys
from augury.__main__ import main
from benchmarks.scores import peak_memory
main(sys.argv[1:])
print(peak_memory())
"""


def peak_memory() -> int:
    """The most memory that this process has had, in MiB. (ru_maxrss counts the process that started it, too.)"""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024  # type: ignore[index]


def manifold(repetitions: int = 5) -> None:
    real, generated = pool_features(10_000)
    with tempfile.TemporaryDirectory(prefix="augury-manifold-") as name:
        for side, features in (("real", real), ("generated", generated)):
            np.save(Path(name) / f"{side}.npy", features)
        _, grown = run_command(["-c", PEAK_OF_MANIFOLD], {}, Path(name))
    first = manifold_scores(real, generated, 5)
    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(timed(lambda: manifold_scores(real, generated, 5))[0])
        seconds, other = timed(lambda: prdc.compute_prdc(real, generated, 5))
        theirs.append(seconds)
    print(f"manifold: ours {spread(ours)}, prdc {spread(theirs)}: ratio of medians ", end="")
    print(f"{statistics.median(theirs) / statistics.median(ours):.2f}; peak memory {grown.strip()} MiB more than")
    print(f"  the features'\n  ours {first}\n  prdc {other}")


def random_weights(path: Path) -> None:
    """A weights file in pytorch-fid's form, randomly initialised so that signals neither vanish nor explode."""
    torch.manual_seed(0)
    networks: list[torch.nn.Module] = []
    originals = pytorch_fid.inception.load_state_dict_from_url, torch.nn.Module.load_state_dict
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: {}
    torch.nn.Module.load_state_dict = lambda self, *_, **__: networks.append(self)  # type: ignore[method-assign,assignment,misc]
    try:
        pytorch_fid.inception.fid_inception_v3()
    finally:
        pytorch_fid.inception.load_state_dict_from_url, torch.nn.Module.load_state_dict = originals  # type: ignore[method-assign]
    for module in networks[0].modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(networks[0].state_dict(), path)


def write_folders(folder: Path) -> tuple[Path, Path]:
    """1,000 real and 1,000 generated images of the default run as PNG files."""
    real = [ImageSet.read(Path("data/splits/0") / split).pixels for split in ("train", "validation")]
    folders = folder / "real", folder / "generated"
    for path, pixels in zip(
        folders, (np.concatenate(real), ImageSet.read(Path("data/synthetic/0/vae")).pixels), strict=True
    ):
        path.mkdir()
        for row, image in enumerate(pixels[:1000]):
            Image.fromarray(image[..., 0]).save(path / f"{row:05d}.png")
    return folders


def run_command(arguments: list[str], environment: dict[str, str], folder: Path) -> tuple[float, str]:
    """Seconds and output of a Python process started afresh."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], capture_output=True, check=True, text=True, cwd=folder,
        env=os.environ | environment | {"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    return time.perf_counter() - started, done.stdout


def fid(repetitions: int = 3) -> None:
    with tempfile.TemporaryDirectory(prefix="augury-fid-") as name:
        folder = Path(name)
        url = pytorch_fid.inception.FID_WEIGHTS_URL
        random_weights(folder / "torch/hub/checkpoints" / Path(url).name)
        environment = {"TORCH_HOME": str(folder / "torch")}
        real, generated = (str(path) for path in write_folders(folder))

        def peer(batch_size: int) -> tuple[float, float]:
            arguments = ["-m", "pytorch_fid", real, generated, "--batch-size", str(batch_size)]
            seconds, output = run_command(arguments, environment, folder)
            return seconds, float(output.split()[-1])

        def own() -> tuple[float, float]:
            for store in folder.glob(".cache"):
                store.rename(folder / f"used-{time.monotonic_ns()}")  # nothing remembered
            arguments = ["-m", "augury", "score", real, generated, "--whole", "--json", "scores.json"]
            seconds, _ = run_command(arguments, environment, folder)
            return seconds, json.loads((folder / "scores.json").read_text())["fd_all"]

        tried = {batch_size: peer(batch_size)[0] for batch_size in (1, 2, 4, 8)}
        best = min(tried, key=lambda size: tried[size])
        times: dict[str, list[float]] = {"ours": [], "best": [], "default": []}
        for _ in range(repetitions):
            seconds, value = own()
            times["ours"].append(seconds)
            seconds, other = peer(best)
            times["best"].append(seconds)
            times["default"].append(peer(50)[0])
        print(f"fid: batch sizes tried, once each: {', '.join(f'{k}: {v:.0f} s' for k, v in tried.items())}")
        for key, seconds_of in times.items():
            ratio = statistics.median(seconds_of) / statistics.median(times["ours"])
            print(f"  {key}: {spread(seconds_of)}, {ratio:.2f} times ours")
        print(f"  FID {value:.4f} against {other:.4f}: relative difference {abs(value / other - 1):.1e}")


def again() -> None:
    """Real images are scored against twice; the second time their features come from the store."""
    with tempfile.TemporaryDirectory(prefix="augury-again-") as name:
        weights = Path(name) / "inception.pth"
        random_weights(weights)
        real = stream_of(Path("data/splits/0/train").resolve(), Path("data/splits/0/validation").resolve())
        before = Path.cwd()
        os.chdir(name)  # an empty store
        try:
            extractor = build_extractor("inception", FeatureExtractor(weights=str(weights)))
            computed: list[int] = []
            original = Extractor.compute

            def counted(self: Extractor, images: ImageSet, device: torch.device) -> np.ndarray:
                computed.append(len(images))
                return original(self, images, device)

            Extractor.compute = counted  # type: ignore[method-assign]
            for turn in ("first", "second"):
                computed.clear()
                seconds, _ = timed(lambda: gather(real, [extractor], CPU, most=1000, seed=0))
                print(f"again: {turn} scoring against {real.count} real images: {seconds:.2f} s for their features, "
                      f"{sum(computed)} computed")  # fmt: skip
        finally:
            os.chdir(before)


def stream() -> None:
    """`augury score` on image sets of 10,000 and 100,000 images: peak memory flat, time linear."""
    with tempfile.TemporaryDirectory(prefix="augury-stream-") as name:
        folder = Path(name)
        for count in (10_000, 100_000):
            random = np.random.default_rng(count)
            pixels = random.integers(256, size=(count, 28, 28, 1), dtype=np.uint8)
            ImageSet(pixels, np.arange(count) % 10, tuple("abcdefghij")).write(folder / str(count))
        smallest = folder / "10000"
        for count in (10_000, 100_000):
            command = ["score", str(smallest), str(folder / str(count)), "--extractor", "efficientnet_lite0"]
            for what, options in (
                ("the whole sets' distance", ["--whole"]),
                ("every score, features kept from before", ["--halvings", "1", "--resamples", "20"]),
            ):
                seconds, output = run_command(["-c", PEAK_OF_COMMAND, *command, *options], {}, folder)
                peak = int(output.split()[-1])
                print(f"stream: 10,000 against {count:,} images, {what}: {seconds:.0f} s, peak memory {peak:,} MiB")


PARTS = {"matrix": matrix, "manifold": manifold, "again": again, "stream": stream, "fid": fid}

if __name__ == "__main__":
    with one_line_errors("scores"):
        asked = sys.argv[1:] or list(PARTS)
        if any(name not in PARTS for name in asked):
            sys.exit(f"usage: python -m benchmarks.scores [PART]; choose from {', '.join(PARTS)}")
        for name in asked:
            PARTS[name]()
