"""Random text-to-image pipelines of four families in diffusers' layout, of one to four MB each."""

import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

FAMILIES = ("sd", "sd_v", "sdxl", "sd3", "flux")  # sd_v: Stable Diffusion 2.1, which predicts the velocity
SIDE = 32  # pixels that tests draw at, 4 x 4 latents


@functools.cache
def base_folder(family: str) -> Path:
    """The same one for all tests of a process, which only read it."""
    _FOLDERS.append(folder := tempfile.TemporaryDirectory(prefix="augury-base-"))
    return write(family, Path(folder.name))


_FOLDERS: list[Any] = []  # removed at the end of the process


def write(family: str, folder: Path) -> Path:
    """A pipeline with random weights, always the same ones, in folder/family."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = {"sd": _sd, "sd_v": _sd_v, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}[family](folder / ".work")
        pipeline.save_pretrained(folder / family, safe_serialization=True)
    return folder / family


def tokenizer(work: Path) -> Any:
    """CLIP's, of single bytes alone."""
    from transformers import CLIPTokenizer

    work.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled = {byte: chr(byte) for byte in printable}
    spelled |= {byte: chr(256 + place) for place, byte in enumerate(sorted({*range(256)} - {*printable}))}
    tokens = [*spelled.values(), *(f"{each}</w>" for each in spelled.values()), "<|startoftext|>", "<|endoftext|>"]
    vocabulary, merges = work / "vocab.json", work / "merges.txt"
    vocabulary.write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    merges.write_text("#version: 0.2\n")
    return CLIPTokenizer(vocab=str(vocabulary), merges=str(merges), model_max_length=77)


def _clip(tokenizer: Any, projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        projection_dim=32, max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _t5() -> tuple[Any, Any]:
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -2.0),
        *((chr(code), -3.0) for code in range(33, 127)),
    ]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0)
    config = T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4)
    return tokenizer, T5EncoderModel(config)


def _vae(channels: int, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=channels, block_out_channels=(8, 16, 16, 16), layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=8,
        sample_size=64, **more,
    )  # fmt: skip


def _unet(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    plain = {
        "sample_size": 8, "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8,
        "attention_head_dim": 4, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 32,
    }  # fmt: skip
    return UNet2DConditionModel(**{**plain, **more})


def _ddim(**more: Any) -> Any:
    """By Stable Diffusion's betas; to an exact end, where Stable Diffusion's own ends at a signal of 0.9991."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=True,
        steps_offset=1, **more,
    )  # fmt: skip


def stable_diffusion(words: Any, text: Any, unet: Any, vae: Any, **schedule: Any) -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=words, unet=unet, scheduler=_ddim(**schedule), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _sd(work: Path, **schedule: Any) -> Any:
    words = tokenizer(work)
    return stable_diffusion(words, _clip(words), _unet(), _vae(4), **schedule)


def _sd_v(work: Path) -> Any:
    return _sd(work, prediction_type="v_prediction")


def _sdxl(work: Path) -> Any:
    from diffusers import StableDiffusionXLPipeline

    words = tokenizer(work)
    unet = _unet(
        cross_attention_dim=64, use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=80,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=_vae(4, scaling_factor=0.13025), text_encoder=_clip(words), text_encoder_2=_clip(words, True),
        tokenizer=words, tokenizer_2=words, unet=unet, scheduler=_ddim(),
    )  # fmt: skip


def _sd3(work: Path) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    words, (tokenizer_3, encoder_3) = tokenizer(work), _t5()
    transformer = SD3Transformer2DModel(
        sample_size=32, patch_size=2, in_channels=16, out_channels=16, num_layers=2, attention_head_dim=8,
        num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=32, pooled_projection_dim=64,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_clip(words, True), tokenizer=words, text_encoder_2=_clip(words, True),
        tokenizer_2=words, text_encoder_3=encoder_3, tokenizer_3=tokenizer_3,
    )  # fmt: skip


def _flux(work: Path) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    words, (tokenizer_2, encoder_2) = tokenizer(work), _t5()
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8], guidance_embeds=True,
    )  # fmt: skip
    return FluxPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
        vae=_vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=_clip(words), tokenizer=words, text_encoder_2=encoder_2, tokenizer_2=tokenizer_2,
    )  # fmt: skip
