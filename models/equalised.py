"""Layers with an equalised learning rate, of which StyleGAN's generator and discriminator are made."""

import math

import torch
from torch import nn
from torch.nn import functional as F

GAIN = math.sqrt(2)  # what leaky ReLU takes from the standard deviation of its input


def box_blurred(weight: torch.Tensor) -> torch.Tensor:
    """A kernel convolved with a 2 x 2 box of ones: (O, I, 3, 3) -> (O, I, 4, 4).

    With stride 2 it is a 3 x 3 convolution beside a nearest-neighbour upsampling (transposed) or a 2 x 2 sum, at 16
    products per pixel of the smaller image rather than 36.
    """
    wide = F.pad(weight, (0, 1)) + F.pad(weight, (1, 0))
    return F.pad(wide, (0, 0, 0, 1)) + F.pad(wide, (0, 0, 1, 0))


class EqualisedLinear(nn.Module):
    """A linear layer whose weights start at N(0, 1) and are scaled by 1 / sqrt(inputs) when used.

    Adam's step does not depend on a weight's size, so all layers then learn equally fast (Karras et al. 2018, section
    4.1). learning_rate: how fast this layer learns compared with the others. bias: its initial value.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, learning_rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / learning_rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / learning_rate))
        self.learning_rate = learning_rate
        self.scale = learning_rate / math.sqrt(inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.learning_rate)


class EqualisedConvolution(nn.Module):
    """A convolution with an equalised learning rate. down: average 2 x 2 pixels after it. gain: scales its result."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, gain: float = GAIN, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.gain, self.down = gain / math.sqrt(inputs * kernel_size**2), gain, down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight * self.scale, self.bias * self.gain
        if self.down:
            return F.conv2d(x, box_blurred(weight) / 4, bias, stride=2, padding=1)
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2)


def pixel_norm(x: torch.Tensor) -> torch.Tensor:
    """Scale each row of x (N, D) to a mean square of 1 (Karras et al. 2018, section 4.2)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def enlarged(images: torch.Tensor) -> torch.Tensor:
    """Twice the resolution, by nearest neighbour and then a mean over 3 x 3 pixels, so that no blocks show.

    (N, C, H, W) -> (N, C, 2H, 2W). Unlike `interpolate`, its gradient is deterministic on a GPU.
    """
    images = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)


class ModulatedConvolution(nn.Module):
    """A convolution whose kernel is scaled per image by a style (Karras et al. 2020, section 2.2, equations 1 to 3).

    Scaling the kernel's inputs is scaling the image's channels, and demodulation scales those of the result: one kernel
    serves the whole batch, with no convolution per image. up: double the resolution before it.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, style_size: int, up: bool = False) -> None:
        super().__init__()
        self.to_scales = EqualisedLinear(style_size, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(inputs * kernel_size**2)
        self.up = up

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x (N, inputs, H, W), w (N, style_size) -> (N, outputs, H', W'), and what demodulates it (N, outputs, 1, 1).

        The factors are left to the caller, who applies them in one pass with noise and bias.
        """
        scales = self.to_scales(w)  # (N, inputs)
        weight = self.weight * self.scale
        x = x * scales[:, :, None, None]
        if self.up:
            kernel = box_blurred(weight.flip(2, 3)).transpose(0, 1)  # a transposed convolution mirrors its kernel
            x = F.conv_transpose2d(x, kernel, stride=2, padding=1)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[2] // 2)
        energy = scales.square() @ weight.square().sum(dim=(2, 3)).T  # (N, outputs)
        return x, (energy.float() + 1e-8).rsqrt()[:, :, None, None]
