"""Train a network on every seed and test it: `python -m studies.segmentation.train dilated augmented`.

Nothing is chosen: no validation images, and the test images are opened after the last step.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from augury.arms.background_swap import ground_of, paste
from augury.arms.finetuning import rate_at
from augury.arms.policies import Policy, compose
from augury.images.pixels import to_network
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.sections import BACKGROUND_SWAP
from augury.pipeline.seeding import batch_rows, derive_seed
from augury.pipeline.threads import in_threads
from studies.reach import reach_of
from studies.segmentation.images import Cases, read
from studies.segmentation.networks import NETWORKS, counts, initialised, possible_field, squared_gradient, width_for
from studies.segmentation.settings import Segmentation
from studies.workspace import ROOT, load_params, run

ARMS = {
    "as_they_are": "images as they are",
    "augmented": "image and mask altered together",
    "swapped": "objects on other images' grounds",
    "both": "objects on other grounds, then altered",
}
SHARE_SWAPPED = 0.8  # of the copies
SHOWN = 6  # test images whose predictions are kept
BATCH = 60  # images at a time in a test


def main(network: str, arm: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Segmentation, here, root)
    for key, name, allowed in (("network", network, NETWORKS), ("arm", arm, ARMS)):
        check_known(key, name, allowed)
    train, test = read(here)
    width = width_for(network, 1e6 * study.multiply_adds, study.resolution)
    device = choose_device(top.device)

    def of_seed(seed: int) -> tuple[np.ndarray, np.ndarray, int | None]:
        learned = learn(network, width, prepared(train, arm, study, seed), study, seed, device)
        return *tested(learned, test, device), measured_field(learned, train, device)

    ious, shown, fields = zip(*in_threads(of_seed, study.seeds, device), strict=True)
    costs = counts(network, width, study.resolution)
    with whole_directory(here / "points" / f"{network}-{arm}") as folder:
        np.save(folder / "shown.npy", shown[0])
        write_json(
            folder / "point.json",
            {
                "network": network, "arm": arm, "width": width, "seeds": study.seeds,
                "n_train": len(train), "n_test": len(test), "groups": test.groups.tolist(),
                "multiply_adds": costs.multiply_adds, "parameters": costs.parameters,
                "possible_field": possible_field(network, study.resolution),
                "measured_field": fields,
                "iou": [[round(float(value), 4) for value in of_seed] for of_seed in ious],
            },
        )  # fmt: skip


def prepared(train: Cases, arm: str, study: Segmentation, seed: int) -> Cases:
    """What a seed learns from: the images, or as many copies of each as params.yaml says."""
    if arm == "as_they_are":
        return train
    policy = compose([(step.name, step.kwargs) for step in study.policy], "policy")
    if policy.swap is not None:
        raise UserError(f"policy: {ARMS['swapped']} are arms of their own here; leave out {BACKGROUND_SWAP}")
    swaps, alters = arm in ("swapped", "both"), arm in ("augmented", "both")
    grounds = [ground_of(*pair) for pair in zip(train.pixels, train.masks, strict=True)] if swaps else []
    pairs = [
        _copy(train, row, grounds, policy if alters else None, derive_seed(seed, "segmentation", arm, number, row))
        for number in range(study.copies)
        for row in range(len(train))
    ]
    pixels, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    return replace(train, pixels=pixels, masks=masks)


def _copy(
    train: Cases, row: int, grounds: Sequence[np.ndarray], policy: Policy | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    image, mask = train.pixels[row], train.masks[row]
    random = np.random.default_rng(seed)
    if len(grounds) and random.random() < SHARE_SWAPPED:
        image = paste(image, mask, grounds[int(row + random.integers(1, len(grounds))) % len(grounds)])
    if policy is not None:
        policy.pipeline.set_random_seed(seed % 2**32)
        altered = policy.pipeline(image=image, mask=mask.astype(np.uint8))
        image, mask = altered["image"], altered["mask"] > 0
    return image, mask


def learn(name: str, width: int, cases: Cases, study: Segmentation, seed: int, device: torch.device) -> nn.Sequential:
    """By the cross-entropy of every pixel. Raises UserError where it diverges."""
    training = study.training
    network = initialised(name, width, seed).to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    images = to_network(cases.pixels).to(device)
    targets = torch.from_numpy(cases.masks).to(device, torch.float32)[:, None]
    for step in range(training.steps):
        rows = torch.from_numpy(batch_rows(len(cases.pixels), training.batch_size, step, derive_seed(seed, "batches")))
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate * rate_at(step, training.fine_tune)
        loss = nn.functional.binary_cross_entropy_with_logits(network(images[rows]), targets[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    if not torch.isfinite(loss):
        raise UserError(f"training: {name} diverges with seed {seed}; lower training.learning_rate")
    return network.eval()


@torch.inference_mode()
def tested(network: nn.Module, test: Cases, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """(N,) intersection over union with each mask, and the first masks that it draws, (SHOWN, R, R) bool."""
    parts = [network(to_network(test.pixels[start : start + BATCH]).to(device)) for start in range(0, len(test), BATCH)]
    drawn = (torch.cat(parts)[:, 0] > 0).cpu().numpy()
    return iou(drawn, test.masks), drawn[:SHOWN]


def measured_field(network: nn.Module, cases: Cases, device: torch.device) -> int | None:
    """Pixels a side on which scores at outlines depend for the most part; None where they depend on none.

    Deep in an object, or far from it, a score is saturated and says little of what the network looks at.
    """
    rows, places = outline_places(cases.masks[:BATCH])
    energy = squared_gradient(network, to_network(cases.pixels[rows]).to(device), places)
    side = cases.pixels.shape[1]
    return min(side, 2 * reach_of(energy, side - 1) + 1) if energy.any() else None


def outline_places(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, R, R) bool -> rows of masks that have an outline, and the place of each (., 2) that is nearest the middle."""
    rows, places = [], []
    for row, mask in enumerate(masks):
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # the image's edge is no outline
        if len(outline := np.argwhere(mask & ~inner)):
            rows.append(row)
            places.append(outline[np.square(outline - len(mask) // 2).sum(axis=1).argmin()])
    return np.array(rows, int), np.array(places, int).reshape(-1, 2)


def iou(drawn: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N, H, W) bool, twice -> (N,) float: 1 where both are empty."""
    union = (drawn | truth).sum(axis=(1, 2))
    return np.where(union > 0, (drawn & truth).sum(axis=(1, 2)) / np.maximum(union, 1), 1.0)


if __name__ == "__main__":
    run("segmentation", main)
