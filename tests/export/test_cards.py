"""Cards of data sets and generators: what they say, and that they never say what was not measured."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from huggingface_hub import DatasetCard, ModelCard

from augury.evidence.results import Results
from augury.export.cards import SCORES, dataset_card, model_card, weights_digest
from augury.heads.ensemble import DRAWS, FOLDS
from augury.pipeline import params as params_module
from augury.pipeline.drawing import Drawing, Filter
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Arm, Transform
from augury.pipeline.trainings import TrainPretrained
from stages.cards import main
from tests import CHECKOUT

NAMES = ["T-shirt/top", "a|b <i>*x*</i>\n{{ 1 }}{% endraw %}", "---\nlicense: mit"]


@pytest.fixture
def params() -> Params:
    return params_module.load(CHECKOUT / "params.yaml")


def gained(sentence: str, kind: str = "synthetic") -> dict[str, Any]:
    return {"kind": kind, "gain": {"this set": {"sentence": sentence}, "this budget": None}}


@pytest.fixture
def data(tmp_path: Path, params: Params) -> Path:
    """What the stages leave, in small."""
    folder = tmp_path / "data"
    write_json(
        folder / "splits/0/summary.json",
        {"train": [80, 80, 80], "class_names": NAMES, "image_size": 28, "channels": 1},
    )
    for generator in params.sample.generators:
        config = {"image_size": 28, "channels": 1, "class_names": NAMES, "network": {"latent_size": 64}}
        write_json(folder / "generators/0" / generator / "config.json", config)
        (folder / "generators/0" / generator / "model.safetensors").write_bytes(generator.encode())
        training = {"total_kimg": 180.0, "kept_kimg": 150.0, "criterion": "distance to validation", "stopped": None}
        write_json(folder / "generators/0" / generator / "training.json", training)
        classes = {name: {"drawn": 700, "kept": 500, "unsure": 150, "near_copy": 50} for name in NAMES}
        write_json(folder / "selection/0" / f"{generator}.json", {"classes": classes})
        scores: dict[str, Any] = {key: 1.25 for key in SCORES} | {f"{key}_floor": 0.75 for key in SCORES}
        scores |= {
            "extractor": "efficientnet_lite0", "n_per_side": 500, "n_generated": 1500, "classes_missing": [],
            "cas": 0.79, "cas_real": 0.86, "fid": None, "fid_status": "not computed: <urlopen error>",
            "memorised_fraction": 0.012, "memorised_floor": 0.011, "copies_exact": 3, "copies_flipped": 0,
        }  # fmt: skip
        write_json(folder / "scores/0" / f"{generator}.json", scores)
    arms = {arm: gained("hurts: −0.18 points") for arm in params.classify.arms}
    arms |= {"larger+all": gained("+0.30 points", "other")}
    arms |= {
        "classic": {"kind": "reference", "gain": None},
        "classic+vae": gained("helps: +0.25 points for these labels"),
    }
    comparison = {"reference": "classic", "scope": "this set", "replicates": [0], "n_test": 10_000}
    recipe = {"sentence": "classic, real images alone."}
    measure = {"chosen": {"recipe": recipe}, "measure": {"title": "accuracy"}, "confidence": 0.95}
    write_json(folder / "comparison.json", comparison | measure | {"arms": arms})
    return folder


def card(params: Params, data: Path, origin: str = "dcgan", **others: Any) -> str:
    contents: dict[str, Any] = {
        "class_names": NAMES, "counts": [500, 499, 501], "image_size": 28, "channels": 1, "layout": "parquet",
        "data_files": "*.parquet",
    }  # fmt: skip
    return dataset_card(params, origin=origin, results=Results(data), **(contents | others))


def test_copies_on_the_grounds_of_other_images_say_so_and_masks_what_they_are(params: Params, data: Path) -> None:
    policies = {**params.augment.policies, "swap": [Transform(name="BackgroundSwap")]}
    swapping = params.model_copy(update={"augment": params.augment.model_copy(update={"policies": policies})})
    assert "set on the grounds of other training images" in card(swapping, data, "swap")
    for other in ("classic", "train", "dcgan"):
        assert "grounds of other" not in card(swapping, data, other)
    assert "nobody has drawn or checked it" in card(params, data, "train", masks=True)
    assert "as PNG it is then black" in card(params, data, "train", masks=True, layout="csv")
    assert "Column `mask`" not in card(params, data, "train")


def test_the_metadata_is_what_the_hub_reads(params: Params, data: Path) -> None:
    metadata = DatasetCard(card(params, data)).data.to_dict()
    assert metadata["license"] == "mit"
    assert metadata["size_categories"] == "1K<n<10K"
    assert metadata["task_categories"] == ["image-classification"]
    assert {"augury", "synthetic"} == set(metadata["tags"])
    assert metadata["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "*.parquet"}]}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "category"), [(999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**6, "n>1M")]
)
def test_size_categories(count: int, category: str, params: Params, data: Path) -> None:
    text = card(params, data, class_names=["one"], counts=[count])
    assert DatasetCard(text).data.to_dict()["size_categories"] == category


def test_a_synthetic_set_is_said_to_be_one_with_scores_floors_and_verdicts(params: Params, data: Path) -> None:
    text = card(params, data)
    for needed in (
        "None of them is a photograph",
        "1,500 labelled images",
        f"sha256:{weights_digest(data / 'generators/0/dcgan')}",
        "Seed: 0",
        "Draws: 2,100, of which 450 were refused as unsure of class and 150 as near-copies",
        "500 images against 500 real ones",
        "| Fréchet distance | 1.25 | 0.75 | smaller |",
        "not FID",
        "1.20% of the synthetic images are closer to a training image",
        "3 exact, 0 mirrored",
        "gains in accuracy with them over classic",
        "10,000 test images, 1 draw of labels and training, 95% intervals",
        "- **classic+dcgan**: hurts: −0.18 points.",
        "- **classic+all** (also with stylegan, vae, diffusion): hurts: −0.18 points.",
        "What to use, by labelled images that were held out: classic, real images alone.",
        "Licence of the real images: mit",
    ):
        assert needed in text, needed
    assert "classic+vae" not in text
    assert "- **classic+vae**: helps: +0.25 points for these labels." in card(params, data, "vae")


def test_a_set_of_the_most_useful_draws_says_by_what(params: Params, data: Path) -> None:
    classes = {name: {"drawn": 700, "kept": 500, "unsure": 50, "near_copy": 20, "outlier": 30} for name in NAMES}
    write_json(data / "selection/0/dcgan.json", {"classes": classes})
    texts = {}
    for keep in get_args(Filter.model_fields["keep"].annotation):
        rules = params.sample.filter.model_copy(update={"keep": keep, "soft_labels": True})
        changed = params.model_copy(update={"sample": params.sample.model_copy(update={"filter": rules})})
        texts[keep] = card(changed, data)
        assert f"mean probability of each class to {DRAWS * FOLDS} classifiers" in texts[keep]
        assert "Soft labels" not in card(changed, data, generation={"seed": 7, "filtered": False, "short": {}})
    assert len(set(texts.values())) == len(texts)
    assert "probability of at least 0.5" in texts.pop("confident")
    for text in texts.values():
        assert "- Filtered: of 4 images drawn for each, those are here" in text
        assert f"{DRAWS * FOLDS} classifiers of parts" in text or "get wrong" in text
        assert "150 were refused as unsure of class, 60 as near-copies and 90 as outliers" in text
    assert "Soft labels" not in card(params, data)


def test_a_set_that_starts_from_training_images_says_so_and_how_many_are_altered_copies(
    params: Params, data: Path
) -> None:
    drawing = Drawing(strategy="image", strengths=[0.3, 0.6])
    sample = params.sample.model_copy(update={"generators": {**params.sample.generators, "diffusion": drawing}})
    starts = [
        {"start": "image", "strength": 0.3, "images": 900, "altered_copies": 120},
        {"start": "prior", "strength": 1.0, "images": 600, "altered_copies": 0},
    ]
    classes = {name: {"drawn": 700, "kept": 500, "unsure": 50, "near_copy": 20, "altered_copy": 40} for name in NAMES}
    write_json(data / "selection/0/diffusion.json", {"classes": classes, "starts": starts})
    changed = params.model_copy(update={"sample": sample})
    text = card(changed, data, "diffusion")
    assert "Images start from real training images**, whose `index` is in the column `source`, and may" in text
    assert "As close to one of them as no near-copy may be: 120 of 900 by image at strength 0.3\n" in text
    assert "no near-copy of a training image that it does not start from" in text
    assert "None of them is a photograph" not in text
    assert "Images start from real" not in card(params, data, "diffusion")
    generation = {"seed": 7, "filtered": True, "short": {}, "classes": classes}
    assert "As close to one of them as no near-copy may be: 120\n" in card(
        changed, data, "diffusion", generation=generation
    )


def test_a_rule_that_refuses_nothing_is_not_said_to(params: Params, data: Path) -> None:
    def filtered(confidence: float, near_copy: float) -> str:
        rules = {"min_confidence": confidence, "near_copy_quantile": near_copy}
        sample = params.sample.model_copy(update={"filter": params.sample.filter.model_copy(update=rules)})
        return card(params.model_copy(update={"sample": sample}), data)

    assert "is here if it is no near-copy of a training image (closer" in filtered(0.0, 0.01)
    assert "a probability of at least 0.5\n" in filtered(0.5, 0.0)


def test_what_was_not_measured_is_said_not_to_be(params: Params, tmp_path: Path) -> None:
    text = card(params, tmp_path / "empty")
    for needed in ("Not scored", "Not measured", "Not tried", "sha256:unknown"):
        assert needed in text
    assert "helps" not in text


def test_a_gain_that_something_else_may_have_made_is_no_gain_of_the_images(params: Params, data: Path) -> None:
    for text in (card(params, data, "vae"), model_card(params, "vae", Results(data))):
        [larger] = [line for line in text.splitlines() if line.startswith("- **larger+all**")]
        assert larger.endswith(
            "+0.30 points; this arm differs in more than synthetic images, to which that may be owed."
        )
        assert "for these labels.\n" in text


@pytest.mark.parametrize("lacks", ["arm", "chosen", "confidence", "measure", "replicates", "scope", "sentence"])
def test_a_comparison_of_other_arms_or_an_older_version_is_left_out_and_called_out_of_date(
    lacks: str, params: Params, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    comparison = json.loads((data / "comparison.json").read_text())
    if lacks == "arm":
        comparison["arms"]["of before"] = gained("helps")
    elif lacks == "sentence":
        comparison["arms"]["classic+dcgan"]["gain"]["this set"] = {"verdict": "helps"}
    else:
        del comparison[lacks]
    write_json(data / "comparison.json", comparison)
    for text in (card(params, data), model_card(params, "dcgan", Results(data))):
        assert "the comparison is out of date" in text
        assert "points" not in text
    assert "comparison.json is out of date, and left out of the card; run `dvc repro`" in caplog.text


def test_a_set_by_generate_says_whose_scores_these_are_and_what_it_is_short_of(params: Params, data: Path) -> None:
    whole = card(params, data, generation={"seed": 7, "filtered": True, "short": {}})
    assert "Seed: 7" in whole
    assert "not on this one" in whole
    assert "Short of its quota" not in whole
    assert "probability of at least 0.5" in whole
    short = card(params, data, generation={"seed": 7, "filtered": False, "short": {"T-shirt/top": 1200}})
    assert "**Short of its quota**: T-shirt/top by 1,200" in short
    assert "Not filtered" in short


@pytest.mark.parametrize(
    ("origin", "needed", "tag"),
    [
        ("train", "real labelled images", "real"),
        ("test", "For testing only", "real"),
        ("held_back", "yardstick", "real"),
        ("classic", "altered copies", "augmented"),
    ],
)
def test_cards_of_what_no_generator_made(origin: str, needed: str, tag: str, params: Params, data: Path) -> None:
    text = card(params, data, origin)
    assert needed in text
    assert tag in DatasetCard(text).data.to_dict()["tags"]
    assert "generator" not in text


@pytest.mark.parametrize(
    ("layout", "reader"),
    [
        ("parquet", "load_dataset"),
        ("imagefolder", "ImageFolder"),
        ("webdataset", "WebDataset"),
        ("csv", "keep_default_na=False"),
    ],
)
def test_a_card_says_how_its_layout_is_read(layout: str, reader: str, params: Params, data: Path) -> None:
    text = card(params, data, layout=layout, data_files=None)
    assert f"layout: {layout}" in text
    assert reader in text


def test_the_split_that_the_hub_shows(params: Params, data: Path) -> None:
    for origin, split in (("test", "test"), ("validation", "validation"), ("held_back", "train"), ("dcgan", "train")):
        [config] = DatasetCard(card(params, data, origin)).data.to_dict()["configs"]
        assert config["data_files"][0]["split"] == split
    assert "configs" not in DatasetCard(card(params, data, data_files=None)).data.to_dict()


def test_names_cannot_break_out_of_their_place(params: Params, data: Path) -> None:
    text = card(params, data)
    assert r"| a\|b &lt;i&gt;\*x\*&lt;/i&gt; {{ 1 }}{% endraw %} | 499 |" in text
    assert "| --- license: mit | 501 |" in text
    assert DatasetCard(text).data.to_dict()["license"] == "mit"
    titled = params.model_copy(update={"cards": params.cards.model_copy(update={"title": "---\nlicense: gpl\n---"})})
    assert DatasetCard(card(titled, data)).data.to_dict()["license"] == "mit"


def test_an_unknown_licence_is_asked_for(params: Params, data: Path) -> None:
    own = params.model_copy(
        update={"prepare": params.prepare.model_copy(update={"source": "imagefolder", "folder": "/photos/birds"})}
    )
    text = card(own, data)
    assert DatasetCard(text).data.to_dict()["license"] == "unknown"
    assert "**The licence of the real images is not stated.**" in text
    assert "birds" in text
    assert "Zalando" not in text
    stated = own.cards.model_copy(update={"licence": "apache-2.0", "attribution": "B. Watcher", "title": "Birds"})
    text = card(own.model_copy(update={"cards": stated}), data)
    assert DatasetCard(text).data.to_dict()["license"] == "apache-2.0"
    assert "Birds. B. Watcher. Licence of the real images: apache-2.0." in text


@pytest.mark.parametrize("generator", ["dcgan", "diffusion"])
def test_model_cards(generator: str, params: Params, data: Path) -> None:
    text = model_card(params, generator, Results(data))
    metadata = ModelCard(text).data.to_dict()
    assert metadata["library_name"] == ("diffusers" if generator == "diffusion" else "pytorch")
    [entry] = metadata["model-index"]
    metrics = [metric for result in entry["results"] for metric in result["metrics"]]
    assert {metric["type"] for metric in metrics} == set(SCORES)
    assert all("n = 500" in metric["name"] for metric in metrics)
    assert "It learned from 240 images" in text
    assert "the snapshot after 150.0 thousand was kept" in text
    assert ("DiffusionPipeline" in text) == (generator == "diffusion")


def test_the_digest_tells_weights_and_settings_apart(data: Path) -> None:
    folder = data / "generators/0/dcgan"
    before = weights_digest(folder)
    (folder / "training.json").write_text("{}")
    assert weights_digest(folder) == before
    (folder / "model.safetensors").write_bytes(b"others")
    changed = weights_digest(folder)
    assert changed != before
    write_json(folder / "config.json", {"image_size": 32})
    assert weights_digest(folder) not in (before, changed)


def test_the_stage_writes_two_cards_for_every_generator(
    params: Params, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    main(params)
    found = {path.relative_to(data / "cards").as_posix() for path in data.glob("cards/*/*.md")}
    assert found == {f"{kind}/{name}.md" for kind in ("models", "datasets") for name in params.sample.generators}
    assert "1,500 labelled images" in (data / "cards/datasets/stylegan.md").read_text(encoding="utf-8")


FALSE_OF_OUTSIDE_DATA = (  # sentences that hold for generators which begin with nothing
    "None of them is a photograph",
    "know nothing that",
    "It knows no more than its training images show",
)


def test_what_began_with_a_base_names_it_and_says_nothing_that_is_false_of_it(params: Params, data: Path) -> None:
    entry = TrainPretrained(base="/models/sd15", base_licence="creativeml-openrail-m")
    generators = {**params.sample.generators, "adapted": Drawing()}
    arms = {**params.classify.arms, "classic+adapted": Arm(augment=["classic"], synthetic={"adapted": 1.0})}
    adapting = params.model_copy(
        update={
            "train_pretrained": {"adapted": entry},
            "sample": params.sample.model_copy(update={"generators": generators}),
            "classify": params.classify.model_copy(update={"arms": arms}),
        }
    )
    shutil.copytree(data / "generators/0/dcgan", data / "generators/0/adapted")
    base = {
        "name": "owner/sd15", "revision": "0123abc", "licence": "creativeml-openrail-m", "experimental": False,
        "pipeline": "StableDiffusionPipeline", "digest": "d" * 64, "files": {"unet/config.json": "f" * 64},
    }  # fmt: skip
    write_json(data / "generators/0/adapted/base.json", base)
    network = {"rank": 16, "resolution": 512, "prompts": ["a photo of a cat"]}
    config = {"image_size": 28, "channels": 1, "class_names": NAMES, "network": network}
    write_json(data / "generators/0/adapted/config.json", config)
    for kind in ("selection", "scores"):
        shutil.copy(data / f"{kind}/0/dcgan.json", data / f"{kind}/0/adapted.json")
    comparison = json.loads((data / "comparison.json").read_text())
    comparison["arms"]["classic+adapted"] = gained("helps: +1.00 points, with outside data")
    write_json(data / "comparison.json", comparison)

    texts = {"set": card(adapting, data, "adapted"), "model": model_card(adapting, "adapted", Results(data))}
    for text in texts.values():
        for named in ("owner/sd15", "0123abc", "d" * 64, "creativeml-openrail-m", "**With outside data**", "mit"):
            assert named in text
        for sentence in FALSE_OF_OUTSIDE_DATA:
            assert sentence not in text
    assert "| unet/config.json | `" + "f" * 64 in texts["model"]
    metadata = ModelCard(texts["model"]).data.to_dict()
    assert (metadata["license"], metadata["license_name"]) == ("other", "creativeml-openrail-m")
    assert (metadata["base_model"], metadata["base_model_relation"]) == ("owner/sd15", "adapter")
    of_set = DatasetCard(texts["set"]).data.to_dict()
    assert (of_set["license"], of_set["license_name"]) == ("other", "creativeml-openrail-m")
    assert "drew after it was adapted to real ones." in texts["set"]
    assert "It learned from 240 images" in texts["model"]
    others = card(adapting, data, "dcgan") + model_card(adapting, "dcgan", Results(data))
    assert all(sentence in others for sentence in FALSE_OF_OUTSIDE_DATA)
    assert "outside data" not in others

    training = json.loads((data / "generators/0/adapted/training.json").read_text())
    write_json(data / "generators/0/adapted/training.json", training | {"total_kimg": 0.0, "kept_kimg": 0.0})
    text = card(adapting, data, "adapted") + model_card(adapting, "adapted", Results(data))
    assert "by prompts alone: it was not adapted" in text
    assert "It was not adapted to them" in text
    assert "after it was adapted" not in text
    assert "It learned from" not in text


def test_a_set_by_generate_is_described_by_its_own_plan_whatever_came_after(params: Params, data: Path) -> None:
    """The generator is adapted to another base, then removed, as is its entry in params.yaml."""
    base = {
        "name": "owner/sd15", "revision": "0123abc", "licence": "openrail", "experimental": False, "kept_kimg": 16.0,
        "pipeline": "StableDiffusionPipeline", "digest": "d" * 64,
    }  # fmt: skip
    generation = {
        "seed": 7, "filtered": True, "short": {}, "weights": "a" * 64, "base": base, "options": {"spread": 0.5},
        "filter": {"min_confidence": 0.75, "near_copy_quantile": 0.0, "max_draws": 4.0},
    }  # fmt: skip
    shutil.copytree(data / "generators/0/dcgan", data / "generators/0/adapted")
    write_json(data / "generators/0/adapted/base.json", base | {"name": "owner/another", "digest": "e" * 64})
    texts = [card(params, data, "adapted", generation=generation)]
    shutil.rmtree(data / "generators")
    texts.append(card(params, data, "adapted", generation=generation))
    for text in texts:
        for needed in (
            "owner/sd15", "d" * 64, "sha256:" + "a" * 64, "**With outside data**", "spread 0.5", "of at least 0.75\n",
            "the generator that made this set is not the one that is there now", "Not known of this generator",
        ):  # fmt: skip
            assert needed in text, needed
        assert "owner/another" not in text
        metadata = DatasetCard(text).data.to_dict()
        assert (metadata["license"], metadata["license_name"]) == ("other", "openrail")
        assert "synthetic" in metadata["tags"]
