"""The report's pages: the templates of augury/report with the filters that they write numbers with."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from augury.evidence.verdicts import NO_WEIGHT
from augury.report.findings import worst_classes
from augury.report.numbers import axis_label, decimals, duration, number, points_of

TEMPLATES = Path(__file__).parent / "templates"
# The sections of the report in the order of the page: each is a template of that name, and its anchor.
SECTIONS = (
    "arms", "classes", "predictors", "samples", "fidelity", "memorisation", "selection", "training", "confusions",
    "costs", "protocol", "studies",
)  # fmt: skip
# Folder in studies/ -> what it answers.
STUDIES = {
    "exchange_rate": "how many labelled images are the synthetic ones worth?",
    "dose": "how many synthetic images are best, how much should each count, and from where on do more hurt?",
    "regimes": "where do synthetic images help, and where do they not?",
    "latent": "what do the generators' latent spaces know?",
    "convolution": "what does a convolution see, and what do its settings change?",
    "generators": "how do the generators learn, and what does each component of a GAN do?",
    "architectures": "what do networks from LeNet-5 to ConvNeXt cost, and what does each make of these images?",
    "scaling": "is a network's extra cost better spent on depth, width or resolution, or on all three?",
    "segmentation": "where every pixel gets a class, are dilated convolutions better than pooling, or strides?",
}


def render(name: str, folder: Path = TEMPLATES, **content: Any) -> str:
    """A template of `folder`, or of the report, filled in.

    A name that it uses and `content` lacks is an error, and all text is escaped.
    """
    return _environment(folder).get_template(name).render(**content)


@lru_cache  # which keeps the compiled templates
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["no_weight"] = NO_WEIGHT
    environment.filters |= {
        "signed": points_of,
        "axis": axis_label,
        "percent": lambda fraction, digits=2: f"{100 * fraction:.{digits}f}",
        "count": lambda count: f"{count:,}",
        "p": lambda p: "<0.001" if p < 0.001 else f"{p:.3f}",
        "number": number,
        "decimals": decimals,
        "worst": worst_classes,
        "duration": duration,
    }
    environment.globals |= {"sections": SECTIONS, "studies": STUDIES}
    return environment
