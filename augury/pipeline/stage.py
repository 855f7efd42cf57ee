"""What every stage shares: read params, keep the cost ledger, turn a foreseen error into one line."""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from augury.pipeline import params
from augury.pipeline.cores import WITH_ANY_THREADS, use_threads
from augury.pipeline.errors import check_known
from augury.pipeline.outputs import write_json
from augury.pipeline.process import check_arguments, one_line_errors
from augury.pipeline.replicates import Replicate

COSTS = Path("data/costs")  # untracked: timings differ between runs, tracked outputs must not


def run_entry(stage: str, main: Callable[..., int | None], *axes: str) -> None:
    """`run` a stage for one entry of its matrix; what follows the module in its command are replicate and `axes`.

    main: takes the params of the replicate, the names on the other axes, and the Replicate.
    """
    entry = sys.argv[1:]

    def of_replicate(top: params.Params) -> int | None:
        check_arguments(["replicate", *axes], entry)
        number, *names = entry
        check_known("replicates", number, [*map(str, top.replicates)])
        return main(top.of_replicate(int(number)), *names, Replicate(int(number)))

    run(f"{stage}@{'-'.join(entry)}", of_replicate)


def run(name: str, main: Callable[[params.Params], int | None]) -> None:
    """Run a stage's `main` as a process, with `one_line_errors`.

    name: as in dvc.yaml, with the matrix entry: "train_gan@0-dcgan". main: returns how many images it went through,
    for the cost ledger, or None where that means nothing.
    """
    started = time.perf_counter()
    with one_line_errors(name, "interrupted; `dvc repro` goes on from here"):
        loaded = params.load()
        use_threads(None if name.partition("@")[0] in WITH_ANY_THREADS else loaded.threads)
        images = main(loaded)
        if int(os.environ.get("RANK", "0")) > 0:  # one of several processes under torchrun; the first one reports
            return
        seconds = time.perf_counter() - started
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        write_json(
            COSTS / f"{name}.json",
            {
                "stage": name,
                "seconds": round(seconds, 2),
                "images": images,
                "peak_memory_mib": round(peak_kib / 1024),
            },
        )
