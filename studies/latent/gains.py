"""What latent augmentation gained, over the reference arm and over plain sampling of the same generator."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from augury.evidence.families import Gain, gains_of_family
from augury.pipeline.conclusions import Compare
from augury.pipeline.seeding import derive_seed

PLAIN = "plain"  # as the generator draws its latents: what methods are compared with, beside the reference arm


class Comparison(NamedTuple):
    """One method of one generator against what `over` names: the reference arm, or PLAIN."""

    generator: str
    method: str
    over: str


def comparisons(points: Mapping[str, Mapping[str, Any]], compare: Compare, seed: int) -> dict[Comparison, Gain]:
    """Every method over the reference arm, and every one but PLAIN over PLAIN of its generator.

    points: generator -> points/augmentation/<generator>.json, all with the same reference and seeds. Holm's correction
    is over all comparisons of one kind, of all generators.
    """
    gains: dict[Comparison, Gain] = {}
    for over in (next(iter(points.values()))["reference"], PLAIN):
        pairs = {
            Comparison(generator, method, over): (
                row["accuracy"],
                content["methods"][PLAIN]["accuracy"] if over == PLAIN else content["reference_accuracy"],
            )
            for generator, content in points.items()
            for method, row in content["methods"].items()
            if method != over
        }
        gains |= gains_of_family(pairs, compare, lambda one: derive_seed(seed, "latent", *one))
    return gains
