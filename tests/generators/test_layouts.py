"""The four trainings keep to one memory layout where another costs the most: at full resolution."""

import pytest

from benchmarks import layouts

# What may be left at 28 x 28 pixels. The gradient of group normalisation arrives in channels-last, which costs a copy
# (not in torch 2.11); diffusers divides sums of two layouts by 1. Its U-Net takes the layout of the images: those in
# colour have one.
MIXED: dict[tuple[str, int], set[str]] = {  # training, channels of the images -> operations
    ("dcgan", 1): set(),
    ("stylegan", 1): set(),
    ("vae", 1): {"native_group_norm_backward"},
    ("pixel diffusion", 3): {"add", "div"},
}


@pytest.mark.parametrize(("training", "channels"), MIXED)
def test_no_operation_at_full_resolution_is_on_tensors_of_several_layouts(
    training: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, steps in {"WARMUP": 1, "TIMED": 0, "WATCHED": 1}.items():
        monkeypatch.setattr(layouts, name, steps)
    _, watched = layouts.watch(training, channels)
    slow = {operation.split()[0] for operation in watched.slow if ", 28, 28): " in operation}
    assert slow <= MIXED[training, channels]
