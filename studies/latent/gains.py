"""What latent augmentation gained, over the reference arm and over plain sampling of the same generator."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from augury.pipeline.conclusions import Compare
from studies.gains import Gain, judged
from studies.hits import Hits
from studies.latent.settings import PLAIN


class Comparison(NamedTuple):
    """One method of one generator against what `over` names: the reference arm, or PLAIN."""

    generator: str
    method: str
    over: str


def comparisons(points: Mapping[str, Mapping[str, Any]], compare: Compare) -> dict[Comparison, Gain]:
    """Every method of every generator over the reference arm, then every other one over plain sampling.

    points: generator -> points/augmentation/<generator>.json, all with the same reference and seeds. All comparisons of
    one kind, of all generators, are a family.
    """
    gains: dict[Comparison, Gain] = {}
    for over in (next(iter(points.values()))["reference"], PLAIN):
        gains |= judged(
            {
                Comparison(generator, method, over): (
                    Hits.unpacked(row["hits"]),
                    Hits.unpacked(content["methods"][PLAIN]["hits"] if over == PLAIN else content["reference_hits"]),
                )
                for generator, content in points.items()
                for method, row in content["methods"].items()
                if method != over
            },
            compare,
        )
    return gains
