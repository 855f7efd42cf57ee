"""A discriminator on the frozen features of a pretrained network (Sauer et al. 2021, "Projected GANs Converge Faster").

Images become feature maps of four levels, which random convolutions that never learn mix across channels (1 x 1) and
then, from the deepest level up, across scales (3 x 3): whoever judges by them has to look at all features, not just at
the few that tell generated images soonest (section 3.2). On each level learns one small discriminator.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from models.backbone import Backbone, fold_normalisation

# Stages of EfficientNet-Lite0, of a 4th to a 32nd of the resolution -> channels, root mean square on 32 to 96 pixels.
LEVELS = {2: (24, 9.0), 3: (40, 9.0), 5: (112, 7.5), 7: (320, 3.0)}
STRIDE = 32  # of the deepest
WIDTH = 64  # channels of a mixed level, and of the discriminators
LARGEST = 4  # positions a side that a discriminator scores


class ProjectedFeatures(nn.Module):
    """Feature maps of four levels, mixed at random; nothing of it learns.

    backbone: EfficientNet-Lite0, which becomes part of this. resolution: pixels at which it sees the images, a multiple
    of STRIDE. The random convolutions are drawn from torch's generator.
    """

    enlarge: torch.Tensor

    def __init__(self, backbone: Backbone, image_size: int, resolution: int) -> None:
        super().__init__()
        self.stages = backbone.stages[: max(LEVELS) + 1].eval()
        fold_normalisation(self.stages)
        # Bilinear, as a matrix: the gradient of `interpolate` is not deterministic on a GPU.
        enlarge = F.interpolate(torch.eye(image_size)[None], size=resolution, mode="linear")[0].T
        self.register_buffer("enlarge", enlarge.contiguous())  # (resolution, image_size)
        self.across_channels = nn.ParameterList(
            [torch.randn(WIDTH, channels, 1, 1) / (math.sqrt(channels) * size) for channels, size in LEVELS.values()]
        )
        self.across_scales = nn.ParameterList([torch.randn(WIDTH, WIDTH, 3, 3) / math.sqrt(9 * WIDTH) for _ in LEVELS])
        self.requires_grad_(False)
        self.sizes = [resolution // STRIDE << level for level in range(len(LEVELS))]  # the deepest first

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (N, 1 or 3, H, W) in [-1, 1] -> (N, D) float32, of each size S in `sizes` S x S x WIDTH."""
        # Backwards through convolutions of few channels, bfloat16 takes twice the time on a CPU.
        with torch.autocast("cpu", enabled=False):
            x = self.enlarge @ images @ self.enlarge.T
            x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
            levels = []
            for number, stage in enumerate(self.stages):
                x = stage(x)
                if number in LEVELS:
                    levels.append(x)
            mixed: list[torch.Tensor] = []
            mixing = zip(levels, self.across_channels, self.across_scales, strict=True)
            for level, channels, scales in reversed(list(mixing)):
                x = F.conv2d(level, channels)
                if mixed:
                    x = (x + mixed[-1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)) / math.sqrt(2)
                mixed.append(F.conv2d(x, scales, padding=1))
        return torch.cat([level.permute(0, 2, 3, 1).flatten(1) for level in mixed], dim=1)


class LevelDiscriminator(nn.Module):
    """Scores the maps of one level, by projection of the class (Miyato & Koyama 2018) under spectral normalisation.

    size: of the maps, halved down to LARGEST positions a side.
    """

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while size > LARGEST:
            layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, kernel_size=4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            size //= 2
        layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.realism = spectral_norm(nn.Linear(WIDTH, 1))
        embedding = nn.Embedding(classes, WIDTH)
        nn.init.normal_(embedding.weight, std=0.02)  # its scale is normalised away; a large one would turn too slowly
        self.classes = spectral_norm(embedding)

    def forward(self, maps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """maps (N, WIDTH, S, S), labels (N,) -> scores (N,) float32, averaged over positions."""
        x = self.layers(maps).float().mean(dim=(2, 3)) * LARGEST**2
        return self.realism(x).squeeze(1) + (self.classes(labels) * x).sum(dim=1)


class ProjectedDiscriminator(nn.Module):
    """Scores whether features are those of a real image of its class, once on each level; larger is more real.

    sizes: of `ProjectedFeatures`. An objective's mean over all scores is the paper's sum over its discriminators
    (equation 2), but for a factor.
    """

    def __init__(self, sizes: Sequence[int], classes: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.levels = nn.ModuleList([LevelDiscriminator(size, classes) for size in sizes])

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """features (N, D) of `ProjectedFeatures`, labels (N,) -> scores (N, levels) float32."""
        parts = features.split([size**2 * WIDTH for size in self.sizes], dim=1)
        maps = [part.unflatten(1, (size, size, WIDTH)) for part, size in zip(parts, self.sizes, strict=True)]
        scores = [level(x.permute(0, 3, 1, 2), labels) for level, x in zip(self.levels, maps, strict=True)]
        return torch.stack(scores, dim=1)
