"""The moving average of a network's weights, which makes better images than the weights themselves."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(model: nn.Module, halflife_kimg: float, batch_size: int) -> AveragedModel:
    """An exponential moving average of `model`'s weights and buffers; call `update_parameters(model)` each step.

    halflife_kimg: thousands of images after which a weight's share has halved (Karras et al. 2020, ADA).
    """
    decay = 0.5 ** (batch_size / (halflife_kimg * 1000))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    return average.requires_grad_(False).eval()
