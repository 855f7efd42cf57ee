"""What the results say: gains of the variants over the small CNN as it is, and the sentences of the page's head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.conclusions import Compare
from augury.pipeline.outputs import read_json
from augury.report.numbers import number, scientific
from studies.convolution.variants import PLAIN, VARIANTS
from studies.gains import Gain, by_verdict, holds_for, judged
from studies.hits import Hits
from studies.page import listed

Points = Mapping[str, dict[str, Any]]  # variant or classifier -> what its step wrote
NEAR_CEILING = 0.03  # errors on test, below which there is little left to gain
PLAINLY = {
    "average": "average pooling",
    "strided": "strides for pooling",
    "dilated": "dilated second convolutions",
    "dilated_for_pooling": "dilation for the last pooling",
}
VERBS = {  # verdict -> what one variant does, and what several do
    "helps": ("helps the small CNN", "help the small CNN"),
    "hurts": ("hurts it", "hurt it"),
    "no difference that matters": ("makes no difference that matters", "make no difference that matters"),
    "can't tell": ("cannot be told from what it has",) * 2,
}


@dataclass(frozen=True)
class Results:
    """What all steps wrote."""

    checks: dict[str, Any]
    ablation: Points
    looks: Points


def read_results(points: Path, classifiers: Sequence[str]) -> Results:
    return Results(
        read_json(points / "checks.json"),
        {name: read_json(points / "ablate" / f"{name}.json") for name in VARIANTS},
        {name: read_json(points / "look" / name / "look.json") for name in classifiers},
    )


def gains_over_plain(ablation: Points, compare: Compare) -> dict[str, Gain]:
    """Of every other variant."""
    hits = {name: Hits.unpacked(point["hits"]) for name, point in ablation.items()}
    return judged({name: (hits[name], hits[PLAIN]) for name in hits if name != PLAIN}, compare)


def answer(gains: Mapping[str, Gain]) -> str:
    """A sentence without its full stop."""
    found, where = by_verdict(gains), holds_for(generators=False)
    if [*found] == ["can't tell"]:
        return f"Neither dilation nor another way of pooling can be told from maximum pooling {where}"
    parts = [
        f"{listed([PLAINLY[name] for name in names])} {VERBS[verdict][len(names) > 1]}"
        for verdict, names in found.items()
    ]
    return f"{where[0].upper()}{where[1:]}, {'; '.join(parts)}"


def sentences(results: Results) -> list[str]:
    """What was found by looking and by checking."""
    parts = []
    for name, look in results.looks.items():
        last, first = look["stages"][-1], look["stages"][0]
        all_of_it = last["everything"] or last["field"] >= look["resolution"]
        could = "the whole image" if last["everything"] else f"{last['field']:,} pixels a side"
        beyond = f", more than the image's {look['resolution']}" if all_of_it and not last["everything"] else ""
        within = (
            "takes the whole image" if last["measured"] >= look["resolution"] else f"lies within {last['measured']}"
        )
        parts.append(
            f"{name}: a position of the first stage sees {first['field']} pixels a side, one of the last could see "
            f"{could}{beyond}. 95% of what it responds to {within}."
        )
    agreements, gradients = results.checks["agreements"], results.checks["gradients"]
    compared, different = (sum(each[key] for each in agreements) for key in ("compared", "different"))
    sizes = f"all {compared:,} output sizes" if not different else f"{compared - different:,} of {compared:,} sizes"
    parts.append(
        f"The formulas give {sizes} as PyTorch does. The gradients written out by hand differ from autograd's by at "
        f"most {scientific(max(each['from_autograd'] for each in gradients))} of their largest number, and from finite "
        f"differences by {scientific(max(each['from_finite_differences'] for each in gradients))}."
    )
    return parts


def cautions(results: Results) -> list[str]:
    """What limits the study."""
    plain = results.ablation[PLAIN]
    notes = []
    errors = 1 - float(np.mean(plain["accuracy"]))
    if errors < NEAR_CEILING:
        notes.append(
            f"The small CNN errs on {number(100 * errors, 1)}% of the test images: there is little left to gain here."
        )
    enlarged = [
        f"{name} ({look['resolution']})"
        for name, look in results.looks.items()
        if look["resolution"] > results.checks["image_size"]
    ]
    if enlarged:
        notes.append(
            f"The images have {results.checks['image_size']} pixels a side and are enlarged for {listed(enlarged)}: "
            "edges are softer there than in photographs of that size."
        )
    return notes
