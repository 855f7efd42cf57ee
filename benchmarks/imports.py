"""What it costs to start a stage: `python -m benchmarks.imports` (about 4 minutes).

User CPU seconds of importing each stage, beside those of `import torch` alone in the same run, medians of five. Bars:
1.5 times torch for a stage that computes with it, 0.5 times for one that does not. What a stage needs for some of its
params only (a library of networks, of statistics, of downloads) is imported by the function that uses it.
"""

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from augury.pipeline.process import one_line_errors

REPETITIONS = 5
BARS = dict.fromkeys(("prepare", "augment", "compare", "cards", "report"), 0.5)
BAR = 1.5  # of the other stages


def seconds(module: str) -> float:
    """User CPU of a process that imports it, and the start of Python with it; compiled files are there already."""

    def of_children() -> float:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime

    command, measured = [sys.executable, "-c", f"import {module}"], []
    subprocess.run(command, check=True)
    for _ in range(REPETITIONS):
        before = of_children()
        subprocess.run(command, check=True)
        measured.append(of_children() - before)
    return statistics.median(measured)


def main() -> None:
    torch = seconds("torch")
    print(f"torch: {torch:.2f} s")
    for path in sorted(Path("stages").glob("[a-z]*.py")):
        taken = seconds(f"stages.{path.stem}")
        print(f"{path.stem}: {taken:.2f} s, {taken / torch:.2f} times torch, bar {BARS.get(path.stem, BAR)}")


if __name__ == "__main__":
    with one_line_errors("imports"):
        main()
