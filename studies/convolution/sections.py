"""What the page says of variants, of arithmetic, of dilation and of backpropagation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from augury.report.numbers import decimals, number, scientific
from studies.convolution.arithmetic import Window
from studies.convolution.drawings import dilation_drawing
from studies.convolution.findings import Points
from studies.convolution.settings import Arithmetic
from studies.convolution.variants import MEANINGS, PLAIN
from studies.gains import Gain, in_cells
from studies.page import Figure, Section, Table

Checks = Mapping[str, Any]


def variants_table(ablation: Points, gains: Mapping[str, Gain], confidence: float) -> Table:
    plain = ablation[PLAIN]["multiply_adds"]
    rows = [
        [name, MEANINGS[name], f"{point['parameters']:,}", f"{point['multiply_adds'] / plain:.2f}",
         " ".join(map(str, point["sizes"])), str(point["fields"][-1]), f"{np.mean(point['measured']):.0f}",
         f"{100 * np.mean(point['accuracy']):.2f}%", *in_cells(gains.get(name))]
        for name, point in ablation.items()
    ]  # fmt: skip
    return Table(
        "The variants",
        ["Variant", "What it does", "Parameters", "Multiply-adds", "Map sizes", "Possible field", "Measured field",
         "Accuracy", "Gain, points", f"{100 * confidence:g}% interval", "Corrected p", "Verdict"],
        rows,
        f"Multiply-adds as a multiple of {PLAIN}'s. Map sizes: positions a side after each stage. Fields of the last "
        "stage, pixels a side: what a position there can depend on, and the square that holds 95% of its gradient, the "
        f"mean over seeds. Accuracy on the test images, the mean over {len(ablation[PLAIN]['seeds'])} seeds.",
    )  # fmt: skip


def arithmetic_section(checks: Checks, grid: Arithmetic) -> Section:
    size = checks["image_size"]
    slides = [(stride, padding) for stride in grid.strides for padding in grid.paddings]
    rows = []
    for kernel in grid.kernels:
        for dilation in grid.dilations if kernel > 1 else [1]:
            windows = [Window(kernel, stride, padding, dilation) for stride, padding in slides]
            sizes = [window.output_size(size) for window in windows]
            rows.append(
                [f"{kernel} × {kernel}", str(dilation), str(windows[0].extent),
                 *("—" if each is None else str(each) for each in sizes)]
            )  # fmt: skip
    compared = [
        [each["operation"], f"{each['compared']:,}", f"{each['without_output']:,}", f"{each['different']:,}"]
        for each in checks["agreements"]
    ]
    return Section(
        "How large the map is that comes out",
        [
            "A kernel of k weights a side at dilation d covers e = d(k − 1) + 1 positions. With p zeros on each side "
            "and a stride of s it fits a map of n positions floor((n + 2p − e) / s) + 1 times.",
            f"The first table is for a map of {size} positions, the size of your images. A padding of (e − 1) / 2 "
            "keeps the size at stride 1; a stride of 2 halves it.",
        ],
        tables=[
            Table(
                f"Positions a side that come out of {size}",
                [
                    "Kernel",
                    "Dilation",
                    "Covers",
                    *(f"stride {stride}, padding {padding}" for stride, padding in slides),
                ],
                rows,
                "—: the kernel does not fit once. Every number was compared with what PyTorch makes.",
            ),
            Table(
                "Compared with PyTorch",
                ["Operation", "Combinations", "Without any output", "Different"],
                compared,
                f"Kernels {_words(grid.kernels)}, strides {_words(grid.strides)}, paddings {_words(grid.paddings)} and "
                f"dilations {_words(grid.dilations)} on maps of {_words(checks['sizes'])}. Where nothing fits, PyTorch "
                "has to refuse. A pooling may pad by half its kernel at most, and an average has no dilation.",
            ),
        ],
    )


def _words(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def dilation_section(checks: Checks) -> Section:
    covered = {f"dilation {dilation}": np.array(counts) for dilation, counts in checks["covered"].items()}
    counts = covered["dilation 2"]
    stacked = np.array(checks["stacked"])
    return Section(
        "Dilation",
        [
            f"A 3 × 3 kernel at dilation 2 covers {len(counts)} × {len(counts)} positions with "
            f"{np.count_nonzero(counts)} weights: the positions between them have none.",
            f"Three such convolutions with dilations 1, 2 and 4 cover {len(stacked)} × {len(stacked)} with 27 weights. "
            "The field doubles with every layer while the weights only add up (Yu & Koltun 2016), and no map gets "
            "coarser, as it would by pooling.",
        ],
        [
            Figure(
                "What a 3 × 3 kernel covers",
                dilation_drawing(covered, stacked, "dilation"),
                "Squares for the inputs that one output depends on, for dilations 1, 2 and 3, and for 1, 2 and 4 one "
                "after the other.",
                "Filled: inputs on which one output depends, measured by the gradient with all weights at 1. Above, "
                "look for nine filled squares each time, further and further apart. Below, the darker, the more ways "
                "lead from the input to the output: no square is left out.",
            )
        ],
    )


def backpropagation_section(checks: Checks) -> Section:
    shared = checks["shared_weight"]
    inputs, upstream = (np.array(shared[key]).astype(float) for key in ("inputs", "upstream"))
    contributions = np.array(shared["contributions"])
    digits = 1
    worked = [
        [f"row {place // 2 + 1}, column {place % 2 + 1}", *(number(each, digits) for each in row),
         number(row.sum(), digits), number(theirs, digits)]
        for place, (row, theirs) in enumerate(zip(contributions, shared["autograd"], strict=True))
    ]  # fmt: skip
    rows = [
        [_described(each["operation"], Window(**each["window"])), each["gradient"], str(each["count"]),
         number(each["largest"], decimals([each["largest"]], 3)), scientific(each["from_autograd"]),
         scientific(each["from_finite_differences"])]
        for each in checks["gradients"]
    ]  # fmt: skip
    return Section(
        "Backpropagation",
        [
            "A convolution uses the same weights at every position. So the gradient of a weight is a sum over "
            "positions: what arrives from above there, times the input that the weight met there. The first table does "
            "it on paper.",
            "Maximum pooling sends all that arrives to the largest of its inputs and nothing to the others; of equal "
            "ones, PyTorch takes the first. Average pooling gives each an equal share. Where windows overlap, an input "
            "hears from each of them, and the parts add up.",
        ],
        tables=[
            Table(
                "The gradient of a shared weight",
                ["Weight", *(f"position {row}, {column}" for row in (1, 2) for column in (1, 2)), "Sum", "autograd"],
                worked,
                f"A 2 × 2 kernel over the 3 × 3 inputs {_matrix(inputs)}; from above arrive {_matrix(upstream)} at the "
                "four positions. Row by row, each number is one of these times an input.",
            ),
            Table(
                "Gradients by hand against autograd and finite differences",
                ["Operation", "Gradient of", "Numbers", "Largest", "From autograd", "From finite differences"],
                rows,
                "On random maps of 7 × 7 positions, in float64. The last two columns are the largest differences, as "
                "shares of the largest number of the gradient. Autograd's is rounding; finite differences lose about "
                "half of the digits.",
            ),
        ],
    )


def _described(operation: str, window: Window) -> str:
    parts = [f"{operation} {window.kernel} × {window.kernel}", f"stride {window.stride}"]
    parts += [f"padding {window.padding}"] if window.padding else []
    parts += [f"dilation {window.dilation}"] if window.dilation > 1 else []
    return ", ".join(parts)


def _matrix(values: np.ndarray) -> str:
    """[[1.0, 2.0], [3.0, 0.5]] -> "(1 2 / 3 0.5)"."""
    return "(" + " / ".join(" ".join(f"{each:g}".replace("-", "−") for each in row) for row in values) + ")"
