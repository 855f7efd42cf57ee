"""SAM and SAM 2 as small as they go, with random weights, in folders as transformers saves them."""

from pathlib import Path
from typing import Any

import torch

SIDE = 64  # pixels


def save_tiny(kind: str, folder: Path) -> Path:
    """kind: sam or sam2."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        (_save_sam if kind == "sam" else _save_sam2)(folder)
    return folder


PROMPTS: dict[str, Any] = {"hidden_size": 16, "image_size": SIDE, "mask_input_channels": 4}
DECODER: dict[str, Any] = {
    "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "attention_downsample_rate": 2,
    "iou_head_depth": 2, "iou_head_hidden_dim": 16,
}  # fmt: skip


def _save_sam(folder: Path) -> None:
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    vision: dict[str, Any] = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8,
        "output_channels": 16, "num_pos_feats": 8, "window_size": 4, "global_attn_indexes": [1], "mlp_dim": 32,
    }  # fmt: skip
    prompts = {**PROMPTS, "patch_size": 8}
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=DECODER)
    SamModel(config).save_pretrained(folder)
    square, small = {"height": SIDE, "width": SIDE}, {"height": SIDE // 4, "width": SIDE // 4}
    processor = SamImageProcessor(
        size={"longest_edge": SIDE}, pad_size=square, mask_size={"longest_edge": SIDE // 4}, mask_pad_size=small
    )
    SamProcessor(processor).save_pretrained(folder)


def _save_sam2(folder: Path) -> None:
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2MaskDecoderConfig,
        Sam2Model,
        Sam2Processor,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[SIDE, SIDE], query_stride=[2, 2], num_query_pool_stages=3,
        blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 4],
        window_size_per_stage=[4, 2, 4, 2], global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=16, num_feature_levels=3,
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
    )  # fmt: skip
    prompts = Sam2PromptEncoderConfig(**PROMPTS, patch_size=16)
    decoder = Sam2MaskDecoderConfig(**DECODER)
    config = Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    Sam2Model(config).save_pretrained(folder)
    processor = Sam2ImageProcessor(
        size={"height": SIDE, "width": SIDE}, mask_size={"height": SIDE // 4, "width": SIDE // 4}
    )
    Sam2Processor(processor).save_pretrained(folder)
