"""Profiles: what they change, what they leave alone, and that the one for a GPU is valid."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.params import network_config
from augury.pipeline.profiles import lay_over, main
from models import GENERATORS
from tests import CHECKOUT

PROFILES = sorted(CHECKOUT.glob("params.*.yaml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    return tmp_path


def lines(folder: Path) -> list[str]:
    return (folder / "params.yaml").read_text(encoding="utf-8").splitlines()


def test_the_keys_named_change_and_no_other_line_does(folder: Path) -> None:
    before = lines(folder)
    (folder / "params.small.yaml").write_text("train_gan:\n  dcgan:\n    total_kimg: 7\nseed: 3\n")
    main(folder / "params.small.yaml")
    after = lines(folder)
    changed = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert {new.split("#")[0].strip() for _, new in changed} == {"seed: 3", "total_kimg: 7"}
    loaded = params.load()
    assert (loaded.seed, loaded.train_gan["dcgan"].total_kimg) == (3, 7)


def test_nothing_changes_where_nothing_is_named(folder: Path) -> None:
    before = (folder / "params.yaml").read_text(encoding="utf-8")
    lay_over(folder / "params.yaml", {"seed": 0})
    normalised = " ".join((folder / "params.yaml").read_text(encoding="utf-8").split())
    assert normalised == " ".join(before.split())  # but for the space before comments


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"sede": 1}, "sede: unknown key; choose from seed"),
        ({"train_vae": {"total_kimg": -1}}, "train_vae.total_kimg: -1"),
        ({"sample": 3}, "sample: 3"),
    ],
)
def test_a_profile_that_does_not_fit_leaves_the_file_alone(folder: Path, overrides: dict[str, Any], line: str) -> None:
    before = (folder / "params.yaml").read_bytes()
    with pytest.raises(UserError) as caught:
        lay_over(folder / "params.yaml", overrides)
    assert str(caught.value).splitlines()[0].startswith(line)
    assert (folder / "params.yaml").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]


def test_a_profile_that_is_not_there_or_not_yaml_is_one_line(folder: Path) -> None:
    (folder / "params.torn.yaml").write_text("a: [1, 2")
    (folder / "params.list.yaml").write_text("- 1\n")
    for name, said in (("gone", "No such file"), ("torn", "not valid YAML"), ("list", "expected keys of params.yaml")):
        with pytest.raises(UserError) as caught:
            main(Path(f"params.{name}.yaml"))
        assert said in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.name)
def test_every_profile_of_the_checkout_is_valid_and_its_networks_can_be_built(folder: Path, profile: Path) -> None:
    main(profile)
    loaded = params.load()
    networks = {name: budget.network for name, budget in loaded.train_gan.items()}
    networks |= {"vae": loaded.train_vae.network, "diffusion": loaded.train_diffusion.network}
    with torch.device("meta"):
        for name, values in networks.items():
            config = network_config(GENERATORS[name].Config, name, values)
            GENERATORS[name](config, 28, 1, 10)
    assert YAML(typ="safe").load(profile.read_text()) is not None


def test_there_is_a_profile_for_a_gpu() -> None:
    assert "params.gpu.yaml" in {path.name for path in PROFILES}


def test_the_same_profile_again_takes_no_edit_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = folder / "params.small.yaml"
    profile.write_text("train_gan:\n  dcgan:\n    total_kimg: 7\n    batch_size: 32\nseed: 3\n")
    main(profile)
    assert capsys.readouterr().out == ""
    lay_over(Path("params.yaml"), {"train_gan": {"dcgan": {"total_kimg": 9}}, "seed": 3})
    profile.write_text(profile.read_text().replace("32", "16"))
    for _ in range(2):
        main(profile)
        kept = "kept as changed since it was laid over params.yaml: train_gan.dcgan.total_kimg: 9\n"
        assert capsys.readouterr().out == f"params.small.yaml: {kept}"
        training = params.load().train_gan["dcgan"]
        assert (training.total_kimg, training.batch_size) == (9, 16)
