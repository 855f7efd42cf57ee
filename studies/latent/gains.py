"""What latent augmentation gained, over the reference arm and over plain sampling of the same generator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from augury.evidence.statistics import PairedGain, detectable_effect, holm, paired_gain, smallest_p_value, verdict
from augury.pipeline.sections import Compare
from augury.pipeline.seeding import derive_seed

PLAIN = "plain"  # as the generator draws its latents: what methods are compared with, beside the reference arm


@dataclass(frozen=True)
class Comparison:
    """One method of one generator against what `over` names: the reference arm, or PLAIN.

    undetectable: the gain that would show with 80% power at the level of Holm's first step; None where none can be
    significant.
    """

    generator: str
    method: str
    over: str
    gain: PairedGain
    p_holm: float
    verdict: str
    undetectable: float | None


def comparisons(points: Mapping[str, Mapping[str, Any]], compare: Compare, seed: int) -> list[Comparison]:
    """Every method over the reference arm, and every one but PLAIN over PLAIN of its generator.

    points: generator -> points/augmentation/<generator>.json, all with the same reference and seeds. Holm's correction
    is over all comparisons of one kind, of all generators: which these are is fixed before any result is seen.
    """
    found = []
    first = next(iter(points.values()))
    reference, seeds, alpha = first["reference"], len(first["reference_accuracy"]), 1 - compare.confidence
    for over in (reference, PLAIN):
        gains: dict[tuple[str, str], PairedGain] = {}
        for generator, content in points.items():
            methods = content["methods"]
            own = methods[PLAIN]["accuracy"] if over == PLAIN else content["reference_accuracy"]
            for method in methods:
                if method != over:
                    gains[generator, method] = paired_gain(
                        methods[method]["accuracy"], own, compare.confidence, compare.resamples,
                        derive_seed(seed, "latent", generator, method, over),
                    )  # fmt: skip
        corrected = holm({f"{generator}/{method}": gain.p_value for (generator, method), gain in gains.items()})
        possible = smallest_p_value(seeds, len(gains), compare.resamples) <= alpha
        effect = detectable_effect(seeds, alpha / len(gains)) if possible else None
        for (generator, method), gain in gains.items():
            p_holm = corrected[f"{generator}/{method}"]
            found.append(
                Comparison(
                    generator, method, over, gain, p_holm, verdict(gain.gain, p_holm, compare.confidence),
                    None if effect is None else effect * gain.spread,
                )
            )  # fmt: skip
    return found
