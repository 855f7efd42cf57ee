"""Time the default pipeline end to end, in a temporary copy of the checkout: `make bench` (about 15 minutes).

Measures what a user waits for: the first `dvc repro` with the data already there, a second one with nothing changed,
and `dvc repro --force`, with the peak memory of the first and whether dvc.lock stayed the same to the byte.
"""

import json
import resource
import shutil
import tempfile
import time
from pathlib import Path

from augury.pipeline.process import one_line_errors
from tests.smoke import CHECKOUT, copy_checkout, dvc


def timed(checkout: Path, *arguments: str) -> tuple[float, str]:
    """Seconds that a DVC command took, and its output."""
    started = time.perf_counter()
    output = dvc(checkout, *arguments).stdout
    return time.perf_counter() - started, output


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="augury-bench-") as folder:
        checkout = Path(folder)
        copy_checkout(checkout, {})
        downloaded = CHECKOUT / ".cache/fashion_mnist"
        if downloaded.is_dir():
            shutil.copytree(downloaded, checkout / ".cache/fashion_mnist")

        seconds, _ = timed(checkout, "repro")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
        print(f"dvc repro, data there: {seconds / 60:.1f} min, peak memory {peak:.2f} GiB (largest process)")
        for path in sorted((checkout / "data/costs").glob("*.json"), key=lambda path: path.stat().st_mtime):
            cost = json.loads(path.read_text())
            print(f"  {cost['stage']:24} {cost['seconds']:7.1f} s {cost['peak_memory_mib']:6} MiB")

        again = [timed(checkout, "repro") for _ in range(5)]
        idle = all(output.count("Running stage") == 1 for _, output in again)  # `manifest` always runs
        times = sorted(seconds for seconds, _ in again)
        print(f"dvc repro, nothing changed: {'no stage ran' if idle else 'STAGES RAN'}, median {times[2]:.1f} s of 5")

        lock = (checkout / "dvc.lock").read_bytes()
        seconds, _ = timed(checkout, "repro", "--force")
        same = (checkout / "dvc.lock").read_bytes() == lock
        print(f"dvc repro --force: {seconds / 60:.1f} min, dvc.lock {'byte-identical' if same else 'DIFFERS'}")

        comparison = json.loads((checkout / "data/comparison.json").read_text())
        for arm, entry in comparison["arms"].items():
            print(f"  {comparison['measure']['title']} {arm:16} {100 * entry['value']:.2f}%")


if __name__ == "__main__":
    with one_line_errors("pipeline"):
        main()
