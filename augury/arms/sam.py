"""The mask of a photograph's object by SAM (Kirillov et al. 2023) or SAM 2 (Ravi et al. 2024), with nobody to click.

The networks are transformers' own, an optional package. Weights are on this machine already; nothing is fetched.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.arms.grabcut import WORKING_SIZE, largest_piece, resized
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, one_line
from augury.pipeline.packages import require_pretrained

WEIGHTS = "model.safetensors"
MARGINS = (0.02, 0.06)  # of each side: the box in which the object is said to be leaves so much out


@dataclass(frozen=True)
class Sam:
    """A SamModel or Sam2Model of transformers, with its processor. area: shares of the image an object may take."""

    model: Any
    processor: Any
    device: torch.device
    area: tuple[float, float]

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 -> (H, W) bool for each of MARGINS, all False where nothing of a sensible size is found.

        Asked for is what lies in nearly all of the image, and in its centre. Of the three masks it gives, the one it
        predicts the largest intersection over union for, of those of a sensible size.
        """
        height, width = image.shape[:2]
        boxes = [[share * side for share in (m, 1 - m) for side in (width, height)] for m in MARGINS]
        centres, inside = [[[width / 2, height / 2]]] * len(boxes), [[1]] * len(boxes)
        asked = self.processor(
            images=np.array(image),  # a copy, as torch takes none that must not be written to
            input_points=[centres], input_labels=[inside], input_boxes=[boxes],
            input_data_format="channels_last", return_tensors="pt",
        )  # fmt: skip
        prompts = ("pixel_values", "input_points", "input_labels", "input_boxes")
        answer = self.model(**{name: _on(asked[name], self.device) for name in prompts}, multimask_output=True)
        scale = max(1.0, WORKING_SIZE / min(height, width))
        sizes = {"original_sizes": [(round(height * scale), round(width * scale))]}
        if "reshaped_input_sizes" in asked:  # SAM pads images to a square, SAM 2 squeezes them into one
            sizes["reshaped_input_sizes"] = asked["reshaped_input_sizes"]
        [masks] = self.processor.post_process_masks(answer.pred_masks.cpu(), **sizes)
        for candidates, scores in zip(masks.numpy(), answer.iou_scores[0].cpu().numpy(), strict=True):
            fitting = [self.area[0] <= candidate.mean() <= self.area[1] for candidate in candidates]
            best = candidates[np.where(fitting, scores, -np.inf).argmax()] & any(fitting)
            yield resized(largest_piece(best), (width, height))


def _on(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """In single precision, as coordinates come in double."""
    return tensor.to(device, torch.float32) if tensor.is_floating_point() else tensor.to(device)


def find_weights(weights: str | None) -> Path:
    """The folder of a network: itself, or that of an id of the Hugging Face Hub in its cache.

    Raises UserError where none is named, a package is missing, or there is no such folder, or no network in it.
    """
    if weights is None or not weights.strip():
        raise UserError("masks: sam: needs weights: a folder, or an id in the Hugging Face Hub's cache")
    require_pretrained("masks: sam")
    folder = Path(weights)
    if not folder.is_dir():
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(weights, local_files_only=True))
        except (HFValidationError, LocalEntryNotFoundError):
            raise UserError(
                f"masks: sam: weights: {weights}: no such folder, nor a model in {constants.HF_HUB_CACHE}; "
                "`hf download facebook/sam2.1-hiera-tiny` gets one"
            ) from None
    if missing := [name for name in ("config.json", WEIGHTS) if not (folder / name).is_file()]:
        raise UserError(f"masks: sam: weights: {folder}: no {', '.join(missing)} in it")
    return folder


@lru_cache(maxsize=1)
def load(folder: Path, device: str, area: tuple[float, float]) -> tuple[Sam, bytes]:
    """The network in `folder`, and a digest of its files. device: auto, cpu or cuda.

    Raises UserError where it is no SAM.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # tensors that are missing are an error of ours
    try:
        model, told = transformers.AutoModelForMaskGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        processor = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # what files that are not a SAM's make the library raise is nearly anything
        raise UserError(f"masks: sam: weights: {folder}: no SAM or SAM 2 ({one_line(error)[:200]})") from error
    if missing := sorted(told["missing_keys"]):
        raise UserError(
            f"masks: sam: weights: {folder}: {len(missing)} tensors are missing, such as {missing[0]}; get it again"
        )
    digest = hashlib.blake2b(f"{transformers.__version__}/{(chosen := choose_device(device)).type}".encode())
    for path in (folder / WEIGHTS, *sorted(folder.glob("*.json"))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    return Sam(model.eval().requires_grad_(False).to(chosen), processor, chosen, area), digest.digest()
