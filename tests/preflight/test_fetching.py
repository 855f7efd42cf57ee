"""A base out of a hub that is a folder: what is taken, what is left, and what ends in a line."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from augury.pipeline.errors import UserError
from augury.preflight.fetching import fetch_base, wanted_files
from models.base_folder import ORIGIN, base_files
from tests.bases import base_folder

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is in a repository, as files."""
    folder = Path(shutil.copytree(base_folder("sd"), tmp_path / "hub"))
    for name in ("README.md", "v1-5-pruned.safetensors", "unet/diffusion_pytorch_model.bin"):
        (folder / name).write_text("of the hub")

    def files(**where: Any) -> list[str]:
        assert where == {"repo_id": "owner/sd15", "revision": SHA}
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    def download(local_dir: Path, allow_patterns: list[str], **where: Any) -> None:
        for name in {*allow_patterns} & {*files(**where)}:
            (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, local_dir / name)

    monkeypatch.setattr(huggingface_hub, "list_repo_files", files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folder


def test_a_base_is_what_its_pipeline_needs_and_says_where_it_is_from(hub: Path, tmp_path: Path) -> None:
    out = tmp_path / "bases/sd15"
    pipeline, _ = fetch_base("owner/sd15", SHA, out)
    assert pipeline == "StableDiffusionPipeline"
    assert base_files(out) == base_files(base_folder("sd"))
    assert json.loads((out / ORIGIN).read_text()) == {"id": "owner/sd15", "revision": SHA}
    assert (out / "README.md").exists()
    assert not [*out.rglob("*.bin"), *out.glob("*.safetensors")]


def test_of_several_precisions_the_full_one_is_taken_where_there_is_one() -> None:
    there = [
        "model_index.json", "LICENSE.md", "unet/config.json", "unet/model.safetensors", "unet/model.fp16.safetensors",
        "unet/model.non_ema.safetensors", "vae/model.fp16-00001-of-00002.safetensors", "other/model.safetensors",
        "te/model-00001-of-00002.safetensors", "te/model.safetensors.index.json",
    ]  # fmt: skip
    assert wanted_files(there, ["unet", "vae", "te"]) == [
        "model_index.json", "LICENSE.md", "unet/config.json", "unet/model.safetensors",
        "vae/model.fp16-00001-of-00002.safetensors", "te/model-00001-of-00002.safetensors",
        "te/model.safetensors.index.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("identifier", "revision", "expected"),
    [
        ("sd15", SHA, "ID: 'sd15': expected owner/name, as the Hub has it"),
        ("owner/sd15", "main", "--revision: 'main': expected the 40 digits of a commit, as a branch may move"),
    ],
)
def test_what_is_asked_for_in_vain(hub: Path, tmp_path: Path, identifier: str, revision: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        fetch_base(identifier, revision, tmp_path / "out")
    assert str(caught.value) == expected


def test_what_cannot_be_used_or_had_leaves_nothing(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"^owner/sd15/unet: no \*\.safetensors in it"):
        fetch_base("owner/sd15", SHA, tmp_path / "out")

    def refuse(**where: Any) -> None:
        raise OSError("no route\nto the host")

    monkeypatch.setattr(huggingface_hub, "list_repo_files", refuse)
    with pytest.raises(UserError, match=r"^owner/sd15 at 01234567: not to be had from the Hub \(no route to the host"):
        fetch_base("owner/sd15", SHA, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="--out"):
        fetch_base("owner/sd15", SHA, hub)
