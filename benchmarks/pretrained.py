"""How fast a pretrained model is adapted and drawn from, in how much memory: `python -m benchmarks.pretrained`.

Its weights are random, of the sizes of Stable Diffusion 1.5, so that nothing has to be fetched: speed and memory do not
go by what they are. `python -m benchmarks.pretrained tiny` runs anywhere, to see that it runs.
"""

import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.generators.bases import describe_base
from augury.generators.processes import start_processes
from augury.generators.training_run import TrainingRun
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, unknown
from augury.pipeline.process import one_line_errors
from augury.pipeline.trainings import TrainPretrained
from benchmarks.gpu import as_it_stands, digest, patched, without_snapshots
from stages import train_pretrained

NAMES = ("cat", "dog")
GIB = 2**30


def sd15(folder: Path) -> None:
    """The networks of Stable Diffusion 1.5 with random weights, and a tokenizer of single bytes."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from tests import bases

    tokenizer = bases.tokenizer(folder / "words")
    text = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    bases.stable_diffusion(
        tokenizer,
        CLIPTextModel(text),
        UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        ),
    ).to(torch.bfloat16).save_pretrained(folder)  # fmt: skip


def tiny(folder: Path) -> None:
    from tests import bases

    bases.write("sd", folder.parent).rename(folder)


# What is built, and how it is trained.
SIZES: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "sd15": (sd15, {"resolution": 512}),
    "tiny": (tiny, {"resolution": 16, "precision": "float32"}),
}


def measure(size: str, steps: int, drawn: int, device: torch.device, **changes: Any) -> dict[str, Any]:
    """Images a second and GiB at most, of `steps` steps after as many to warm up, and of `drawn` images in 25 steps."""
    build, settings = SIZES[size]
    pixels = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    images = ImageSet(pixels, np.arange(16) % len(NAMES), NAMES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / size
        build(folder)
        plain = {"base": str(folder), "base_licence": "none", "total_kimg": 0.016 * steps, "snapshot_every_kimg": 1e6}
        budget = TrainPretrained.model_validate({**plain, **settings, **changes})
        base = describe_base("pretrained", budget)
        times: list[float] = []

        def train() -> TrainingRun:
            accelerator = start_processes(device.type, budget.batch_size, "train_pretrained.pretrained")
            return train_pretrained.train("pretrained", images, images, budget, base, 0, accelerator, True)

        def timed(self: TrainingRun, *given: Any, **told: Any) -> None:
            if self.step + 1 in (steps, self.steps_total - 1):
                times.append(now(device))
            take(self, *given, **told)

        take = TrainingRun.take
        restart_peak(device)
        with without_snapshots(), patched(TrainingRun, "take", timed):
            run = train()
        found = {"trained": (steps - 1) * budget.batch_size / (times[1] - times[0]), "training_gib": peak(device)}
        with without_snapshots(), as_it_stands():
            found["same_bytes"] = digest(train()) == digest(run)
        network: Any = run.snapshot
        labels = torch.arange(drawn) % len(NAMES)
        restart_peak(device)
        started = now(device)
        network.sample(labels.to(device), generator=torch.Generator().manual_seed(0), steps=25)
        return found | {"drawn": drawn / (now(device) - started), "sampling_gib": peak(device)}


def now(device: torch.device) -> float:
    """Seconds, once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def restart_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: torch.device) -> float | None:
    """GiB taken at most since then; None on a CPU."""
    return torch.cuda.max_memory_reserved() / GIB if device.type == "cuda" else None


def main() -> None:
    size = next(iter(sys.argv[1:]), "sd15")
    if size not in SIZES:
        raise UserError(unknown("the size", size, SIZES))
    device = choose_device("auto")
    if device.type == "cpu" and size == "sd15":
        raise UserError("sd15: not on a CPU, where it would take hours; tiny runs anywhere")
    card = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "CPU"
    print(f"{size} on {card}, torch {torch.__version__}, batches of 8")
    for again in (True, False):
        found = measure(size, 30, 16, device, gradient_checkpointing=again)
        how = "blocks computed again" if again else "blocks kept"
        print(f"{how}: " + ", ".join(f"{key} {value}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    with one_line_errors("benchmarks.pretrained"):
        main()
