"""What is compared: a DCGAN, StyleGAN-lite, and each with one component taken out, put in or exchanged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models import GENERATORS
from studies.generators.networks import NoMapping, NoModulation, NoNoise

AUGMENTATIONS = ["brightness", "contrast", "translation"]
GAMMA = 0.1  # of R1 where it is on: what the main params.yaml has for StyleGAN-lite
ADA_TARGET = 0.6  # of the paper (Karras et al. 2020)


@dataclass(frozen=True)
class Variant:
    """architecture: section of `train_gan` that it starts from. title: short, for rows of a figure.

    component: what differs from the base, in words; "" of a base.
    network: the class that is trained in place of the architecture's own. keys: of that section, laid over the base's.
    """

    architecture: str
    component: str
    title: str
    network: type[Any] | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> str | None:
        """The variant that it is compared with, of the architecture's name."""
        return self.architecture if self.component else None

    @property
    def full_title(self) -> str:
        """The title, with the name of the base before it where it lacks that."""
        base = VARIANTS[self.base].title if self.base else ""
        return self.title if self.title.startswith(base) else f"{base} {self.title}"

    @property
    def network_class(self) -> type[Any]:
        return self.network or GENERATORS[self.architecture]


# Where both architectures start, so that what is switched is on or off whatever the main params.yaml has.
BASES: dict[str, dict[str, Any]] = {
    "dcgan": {"diffaugment": AUGMENTATIONS, "ada_target": None, "r1_gamma": 0.0, "path_length_weight": 0.0},
    "stylegan": {
        "diffaugment": AUGMENTATIONS, "ada_target": None, "r1_gamma": GAMMA, "path_length_weight": 0.0,
        "network": {"style_mixing": 0.0},
    },
}  # fmt: skip

VARIANTS: dict[str, Variant] = {
    "dcgan": Variant("dcgan", "", "DCGAN"),
    "dcgan_no_diffaugment": Variant("dcgan", "DiffAugment", "DCGAN without DiffAugment", keys={"diffaugment": []}),
    "dcgan_r1": Variant("dcgan", "R1", "DCGAN with R1", keys={"r1_gamma": GAMMA}),
    "stylegan": Variant("stylegan", "", "StyleGAN-lite"),
    "no_mapping": Variant("stylegan", "mapping network", "without mapping network", NoMapping),
    "no_modulation": Variant("stylegan", "modulation", "without modulation", NoModulation),
    "no_noise": Variant("stylegan", "noise", "without noise", NoNoise),
    "mixing": Variant("stylegan", "style mixing", "with style mixing", keys={"network": {"style_mixing": 0.9}}),
    "no_diffaugment": Variant("stylegan", "DiffAugment", "without DiffAugment", keys={"diffaugment": []}),
    "ada": Variant(
        "stylegan", "ADA for DiffAugment", "with ADA for DiffAugment",
        keys={"diffaugment": [], "ada_target": ADA_TARGET},
    ),
    "no_r1": Variant("stylegan", "R1", "without R1", keys={"r1_gamma": 0.0}),
}  # fmt: skip


def overrides(variant: Variant, width: int) -> dict[str, Any]:
    """Keys of the section of `train_gan` that the variant changes, `network` among them."""
    base = BASES[variant.architecture]
    network = {**base.get("network", {}), **variant.keys.get("network", {}), "width": width}
    return {**base, **variant.keys, "network": network}
