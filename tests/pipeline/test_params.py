"""params.yaml: what is read, and what each kind of fault is told."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from augury.pipeline import params
from augury.pipeline.drawing import DENOISING, PAIRING, STRATEGIES, Drawing, Strategy
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params, network_config
from augury.pipeline.section import Section
from augury.pipeline.sections import Arm
from augury.pipeline.trainings import GanTraining
from models import GENERATORS
from tests import CHECKOUT

SHIPPED = CHECKOUT / "params.yaml"
ABSENT = object()
ALONE = ("seed", "replicates", "device", "threads", "launch", "log")  # keys that are no section
SECTIONS = [name for name in Params.model_fields if name not in ALONE]


def shipped() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(SHIPPED.read_text(encoding="utf-8"))


def change(content: Any, key: str, value: object) -> None:
    """Set the dotted `key` of nested mappings and lists, or delete it where `value` is ABSENT."""
    *above, last = [int(part) if part.isdecimal() else part for part in key.split(".")]
    for part in above:
        content = content[part]
    if value is ABSENT:
        del content[last]
    else:
        content[last] = value


def load_content(folder: Path, content: dict[str, Any]) -> Params:
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # annotated as None
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    return params.load(folder / "params.yaml")


def load_changed(folder: Path, changes: dict[str, object]) -> Params:
    content = shipped()
    for key, value in changes.items():
        change(content, key, value)
    return load_content(folder, content)


def faults(folder: Path, changes: dict[str, object]) -> list[str]:
    """The lines of the error that the shipped parameters give with these changes."""
    with pytest.raises(UserError) as caught:
        load_changed(folder, changes)
    return str(caught.value).splitlines()


def key_of(line: str) -> str:
    return re.split(r":? ", line, maxsplit=1)[0]


def test_the_shipped_parameters_are_valid_and_come_back_as_written(tmp_path: Path) -> None:
    loaded, content = params.load(SHIPPED), shipped()
    assert list(Params.model_fields) == list(content)
    assert loaded.model_dump(exclude_unset=True) == content
    assert load_content(tmp_path, content) == loaded


UNKNOWN_KEYS = {
    "prepear": SECTIONS,
    "prepare.images_size": ["source", "image_size", "unreadable"],
    "classify.head.step": ["steps", "batch_size", "learning_rate", "l2_penalties"],
    "augment.policies.classic.0.args": ["name", "kwargs"],
    "train_gan.dcgan.kl_weight": ["network", "total_kimg", "adam_betas", "diffaugment"],
    "train_gan.stylegan.r1_weight": ["r1_gamma", "r1_every", "path_length_weight", "ada_target", "objective"],
    "train_gan.dcgan.grid_every_kimg": ["snapshot_every_kimg"],
    "train_diffusion.kl_weight": ["network", "total_kimg", "batch_size", "snapshot_every_kimg"],
    "sample.filter.min_confidance": ["min_confidence", "near_copy_quantile", "max_draws"],
    "sample.min_confidence": ["generators", "per_class", "batch_size", "filter"],
    "score.inception_weights": ["extractors", "halvings", "resamples", "neighbours", "most_images"],
    "score.extractors.inception.path": ["weights", "resolution"],
    "sample.generators.vae.truncation": [
        "spread",
        "strategy",
        "strengths",
        "prior_share",
        "sources",
        "guidance",
        "steps",
    ],
    "classify.arms.none.augmnet": ["real", "more_real", "augment", "synthetic", "mix", "balance", "fill"],
}


@pytest.mark.parametrize("key", UNKNOWN_KEYS)
def test_an_unknown_key_is_named_with_those_allowed_beside_it(tmp_path: Path, key: str) -> None:
    [line] = faults(tmp_path, {key: 1})
    start, _, allowed = line.partition("; choose from ")
    assert start == f"{key}: unknown key"
    assert set(UNKNOWN_KEYS[key]) <= set(allowed.split(", "))


@pytest.mark.parametrize(
    "key",
    [
        "seed",
        "launch",
        "report",
        "train_pretrained",
        "prepare.source",
        "classify.head.steps",
        "augment.policies.classic.1.name",
        "train_vae.kl_weight",
        "train_diffusion.total_kimg",
        "train_gan.dcgan.objective",
        "train_gan.stylegan.snapshot_every_kimg",
        "sample.generators",
        "sample.filter",
        "sample.filter.max_draws",
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    assert faults(tmp_path, {key: ABSENT}) == [f"{key}: missing"]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        # A value of the wrong type
        ("seed", True, "valid integer"),
        ("seed", "0", "valid integer"),
        ("augment.copies", 4.0, "valid integer"),
        ("prepare.labels_per_class", True, "valid integer"),
        ("train_vae.learning_rate", "0.001", "valid number"),
        ("train_vae.kl_weight", True, "valid number"),
        ("prepare.folder", 3, "valid string"),
        ("classify.arms.classic.augment", True, "valid list"),
        ("classify.arms.classic+vae.synthetic.vae", "1.0", "valid number"),
        ("augment.policies.classic", {"name": "HorizontalFlip"}, "valid list"),
        ("train_vae.network", [32], "valid dictionary"),
        ("prepare", None, "valid dictionary"),
        ("launch", 4, "valid string"),
        ("sample.generators", ["dcgan", "vae"], "valid dictionary"),
        ("sample.generators.vae", "prior", "valid dictionary"),
        ("sample.generators.dcgan", None, "valid dictionary"),
        ("sample.generators.vae.spread", "1.0", "valid number"),
        ("sample.generators.vae.spread", True, "valid number"),
        ("sample.filter", False, "valid dictionary"),
        ("sample.filter.min_confidence", "0.5", "valid number"),
        ("train_gan.dcgan.r1_every", 1.5, "valid integer"),
        ("train_gan.stylegan.ada_target", "0.6", "valid number"),
        ("train_gan.stylegan.diffaugment", None, "valid list"),
        ("score.extractors.inception.weights", False, "valid string"),  # `off` is a string in YAML 1.2
        ("score.extractors.inception", "auto", "valid dictionary"),
        ("score.extractors", ["inception"], "valid dictionary"),
        ("classify.arms.none.real", "no", "valid boolean"),
        ("classify.arms.none.real", None, "valid boolean"),
        # Outside its range
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, "less than"),  # provenance columns are int64
        ("prepare.labels_per_class", 1, "greater than or equal to 2"),
        ("prepare.validation_fraction", 0.0, "greater than 0"),
        ("prepare.test_fraction", 1.0, "less than 1"),
        ("prepare.imbalance_ratio", 0.5, "greater than or equal to 1"),
        ("augment.copies", 0, "greater than 0"),
        ("augment.policies.classic", [], "at least 1 item"),
        ("train_gan.dcgan.adam_betas", [0.5], "at least 2 items"),
        ("train_gan.dcgan.adam_betas.1", 1.0, "less than 1"),
        ("train_vae.warmup_kimg", -0.1, "greater than or equal to 0"),
        ("train_vae.total_kimg", float("nan"), ""),
        ("train_vae.total_kimg", float("inf"), ""),
        ("train_gan.dcgan.snapshot_every_kimg", 0, "greater than 0"),
        ("train_gan.dcgan.r1_gamma", -1.0, "greater than or equal to 0"),
        ("train_gan.dcgan.r1_every", 0, "greater than 0"),
        ("train_gan.stylegan.path_length_weight", -0.5, "greater than or equal to 0"),
        ("train_gan.stylegan.path_length_every", 0, "greater than 0"),
        ("train_gan.dcgan.ada_target", 1.0, "less than 1"),
        ("train_gan.dcgan.ada_target", -1.0, "greater than -1"),
        ("sample.generators", {}, "at least 1 item"),
        ("sample.generators.vae.spread", 0, "greater than 0"),
        ("sample.generators.vae.spread", -1.0, "greater than 0"),
        ("sample.generators.dcgan.spread", float("inf"), "finite"),
        ("sample.filter.min_confidence", 1.0, "less than 1"),
        ("sample.filter.min_confidence", -0.1, "greater than or equal to 0"),
        ("sample.filter.near_copy_quantile", 1, "less than 1"),
        ("sample.filter.near_copy_quantile", -0.01, "greater than or equal to 0"),
        ("sample.filter.max_draws", 0.9, "greater than or equal to 1"),
        ("sample.filter.max_draws", float("inf"), "finite"),
        ("sample.per_class", 0, "greater than 0"),
        ("score.extractors", {}, "at least 1 item"),
        ("score.extractors.efficientnet_lite0.resolution", 27, "greater than or equal to 28"),
        ("score.extractors.efficientnet_lite0.resolution", 1_000_000, "less than or equal to 1024"),
        ("classify.resolution", 1_000_000, "less than or equal to 1024"),
        ("score.halvings", 0, "greater than 0"),
        ("score.resamples", 19, "greater than or equal to 20"),
        ("score.neighbours", 0, "greater than 0"),
        ("score.most_images", 99, "greater than or equal to 100"),
        ("classify.seeds", [0], "at least 2 items"),
        ("classify.seeds.3", -1, "greater than or equal to 0"),
        ("classify.head.l2_penalties.0", 0.0, "greater than 0"),
        ("compare.confidence", 1.0, "less than 1"),
        ("compare.resamples", 99, "greater than or equal to 100"),
        (
            "compare.measure",
            "auc",
            "choose from accuracy, balanced_accuracy, rarest_third, macro_f1, {recall_of: CLASS, precision",
        ),
        ("compare.measure", {"recall_of": "Coat"}, "choose from accuracy"),
        ("compare.matters", 0, "greater than 0"),
        # Not one of the choices
        ("device", "gpu", "choose from auto, cpu, cuda"),
        ("train_gan.dcgan.discriminator", "pretrained", "choose from own, projected"),
        ("train_gan.dcgan.projected_resolution", 48, "multiple of 32"),
        ("train_gan.dcgan.objective", "wasserstein", "choose from hinge, logistic"),
        ("threads", 0, "greater than 0"),
        ("threads", 1.0, "valid integer"),
        ("launch", "rm -rf /", "python|torchrun|accelerate launch"),
        ("launch", "", "python|torchrun|accelerate launch"),
        ("launch", "pythonic", "python|torchrun|accelerate launch"),
        ("launch", " python", "python|torchrun|accelerate launch"),
        ("launch", "echo; python", "python|torchrun|accelerate launch"),
        ("launch", "accelerate", "python|torchrun|accelerate launch"),
        ("launch", "python\nrm", "python|torchrun|accelerate launch"),
        ("prepare.source", "mnist", "choose from fashion_mnist, digits, imagefolder"),
        ("prepare.unreadable", "no", "choose from stop, skip"),
        ("prepare.color", 1, "choose from auto, gray, rgb"),
        (
            "train_gan.dcgan.diffaugment.0",
            "flip",
            "choose from brightness, saturation, contrast, translation, cutout",
        ),
    ],
)
def test_a_faulty_value_is_named_and_told_what_is_allowed(tmp_path: Path, key: str, value: object, told: str) -> None:
    [line] = faults(tmp_path, {key: value})
    assert line.startswith(f"{key}: ")
    assert repr(value) in line
    assert told in line


def test_a_network_entry_of_the_wrong_type_is_one_line(tmp_path: Path) -> None:
    """Told when the file is read or when the network is built, but once."""
    with pytest.raises(UserError) as caught:
        network_config(
            Network,
            "train_vae.network",
            load_changed(tmp_path, {"train_vae.network": {"width": [32]}}).train_vae.network,
        )
    [line] = str(caught.value).splitlines()
    assert line.startswith("train_vae.network.width: [32]: ")


@pytest.mark.parametrize("name", ["Stylé", "a b", "a/b", ""])
@pytest.mark.parametrize("mapping", ["classify.arms", "train_gan"])
def test_a_name_that_cannot_be_a_file_name_is_refused(tmp_path: Path, mapping: str, name: str) -> None:
    lines = faults(tmp_path, {f"{mapping}.{name}": {}})
    assert all(line.startswith(f"{mapping}.{name}") for line in lines)
    assert any("pattern" in line for line in lines)


def test_an_image_size_that_no_network_suits_is_told_the_nearest_that_do(tmp_path: Path) -> None:
    assert faults(tmp_path, {"prepare.image_size": 30}) == [
        "prepare.image_size 30 is not 4, 5, 6 or 7 times a power of two; nearest allowed: 20, 24, 28, 32"
    ]
    for size in (8, 10, 12, 14, 28, 96, 224, 256, 896):
        assert load_changed(tmp_path, {"prepare.image_size": size}).prepare.image_size == size


def test_black_is_below_white(tmp_path: Path) -> None:
    for value in ([255, 0], [1, 1]):
        (line,) = faults(tmp_path, {"prepare.intensity": value})
        assert line.startswith("prepare.intensity")
        assert "expected the value of black, then a larger one of white" in line
    assert load_changed(tmp_path, {"prepare.intensity": [-1000, 400.5]}).prepare.intensity == [-1000, 400.5]


PROJECTED: dict[str, object] = {"train_gan.dcgan.discriminator": "projected"}
RANDOM_FIRST: dict[str, dict[str, str]] = {"inception": {}, "random_cnn": {}, "efficientnet_lite0": {}}


@pytest.mark.parametrize(("key", "value"), [("classify.mode", "scratch"), ("classify.pretrained", False)])
def test_a_discriminator_that_knows_imagenet_is_refused_where_the_classifier_must_not(
    tmp_path: Path, key: str, value: object
) -> None:
    fair = {**PROJECTED, "score.extractors": RANDOM_FIRST}
    assert load_changed(tmp_path, fair).train_gan["dcgan"].discriminator == "projected"
    (line,) = faults(tmp_path, {**fair, key: value})
    assert line.startswith("train_gan.dcgan.discriminator: projected knows ImageNet")
    assert f"{key}: {str(value).lower()}" in line


@pytest.mark.parametrize(
    "extractors",
    [
        {"efficientnet_lite0": {}},
        {"efficientnet_lite0": {}, "random_cnn": {}},
        {"inception": {}, "efficientnet_lite0": {}},
        {"random_cnn": {"weights": "off"}, "efficientnet_lite0": {}},
    ],
)
def test_the_first_scores_of_a_projected_discriminators_generator_must_not_flatter_it(
    tmp_path: Path, extractors: object
) -> None:
    (line,) = faults(tmp_path, {**PROJECTED, "score.extractors": extractors})
    assert line.startswith("score.extractors: scores of dcgan in efficientnet_lite0's features flatter it")


def test_a_projected_discriminator_has_no_gradient_penalty(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, {**PROJECTED, "score.extractors": RANDOM_FIRST, "train_gan.dcgan.r1_gamma": 0.1})
    assert line.startswith("train_gan.dcgan.r1_gamma: 0.1: ")


def test_a_long_tail_needs_a_budget_to_start_from(tmp_path: Path) -> None:
    both: dict[str, object] = {"prepare.imbalance_ratio": 50, "prepare.labels_per_class": 100}
    assert load_changed(tmp_path, both).prepare.imbalance_ratio == 50
    [line] = faults(tmp_path, {**both, "prepare.labels_per_class": None})
    assert line.startswith("prepare.imbalance_ratio ")
    assert "labels_per_class" in line


def test_what_fills_a_tail_is_named_and_drawn_in_numbers_that_suffice(tmp_path: Path) -> None:
    tail: dict[str, object] = {"prepare.imbalance_ratio": 50, "prepare.labels_per_class": 100}
    recipe = {"synthetic": {"vae": 3.0, "dcgan": 1.0}, "fill": "largest"}  # 73 of 98 and the rest
    for per_class in (73, 500):
        load_changed(tmp_path, {**tail, "classify.arms": {"classic": recipe}, "sample.per_class": per_class})
    assert faults(tmp_path, {**tail, "classify.arms": {"classic": recipe}, "sample.per_class": 72}) == [
        "classify.arms.classic.fill: the rarest class lacks 73 images of vae, but sample.per_class is 72"
    ]
    assert faults(tmp_path, {"classify.arms": {"classic": {"fill": "largest"}}}) == [
        "classify.arms.classic.fill: nothing to fill with; choose from synthetic, repeat"
    ]


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        (
            {"sample.generators": {"dcgan": {}, "stylgan": {}}},
            "sample.generators",
            "unknown 'stylgan'; choose from dcgan, stylegan, vae",
        ),
        (
            {
                "sample.generators": {"dcgan": {}, "stylegan": {}, "diffusion": {}},
                "classify.arms.classic+vae": {},
            },
            "classify.arms.larger+all.synthetic",
            "unknown 'vae'; choose from dcgan, stylegan, diffusion",
        ),
        (
            {"classify.arms.classic+dcgan.synthetic": {"gan": 0.5}},
            "classify.arms.classic+dcgan.synthetic",
            "unknown 'gan'",
        ),
        ({"compare.reference": "nothing"}, "compare.reference", "unknown 'nothing'; choose from"),
        ({"classify.arms.recipe": {}}, "classify.arms.recipe", "the name is taken"),
        (
            {"classify.arms.new": {"mode": "scratch", "synthetic": {"vae": 1.0}}},
            "classify.arms.new.mode",
            "that a pretrained network judged and filtered",
        ),
        ({"classify.seeds": [0, 1, 2, 1]}, "classify.seeds", "twice"),
        ({"replicates": [0, 1, 1]}, "replicates", "[0, 1, 1]: holds a value twice"),
        ({"replicates": [1, 2]}, "replicates", "[1, 2] lacks 0"),
        ({"replicates": [0, -1]}, "replicates.1", "-1: input should be greater than or equal to 0"),
        ({"replicates": []}, "replicates", "at least 1 item"),
        (
            {"replicates": [0, 5], "prepare.redraw": "folds"},
            "replicates",
            "5 is too many; prepare.test_fraction 0.2 makes 5 folds, 0 to 4",
        ),
        (
            {"replicates": [0, 1], "prepare.labels_per_class": None},
            "prepare.redraw",
            "labels draws the same ones for every replicate where labels_per_class is null",
        ),
        ({"prepare.redraw": "folds", "prepare.test_fraction": 0.7}, "prepare.test_fraction", "no second fold"),
        ({"sample.generators.dcgan.strategy": "image"}, "sample.generators.dcgan.strategy", "choose from prior"),
        (
            {"sample.generators.vae.strategy": "posterior"},
            "sample.generators.vae.strategy",
            "unknown 'posterior'; choose from prior, image, interpolation, extrapolation",
        ),
        (
            {"score.extractors.random_foo": {}},
            "score.extractors",
            "unknown 'random_foo'; choose from efficientnet_lite0",
        ),
        (
            {"compare.measure": "rarest_third"},
            "compare.measure",
            "rarest_third: classes have about equally many labels",
        ),
        (
            {"compare.measure": "rarest_third", "prepare.imbalance_ratio": 2.0},
            "compare.measure",
            "rarest_third: classes have about equally many labels",
        ),
        ({"sample.generators.vae": {"guidance": 2}}, "sample.generators.vae.guidance", "for diffusion alone"),
        ({"sample.generators.vae": {"strengths": [0.3]}}, "sample.generators.vae.strengths", "set strategy"),
        (
            {"sample.generators.vae": {"strategy": "image", "strengths": [0.3]}},
            "sample.generators.vae.strengths",
            "for diffusion alone",
        ),
        (
            {"sample.generators.vae": {"strategy": "interpolation", "sources": "other"}},
            "sample.generators.vae.sources",
            "choose own, or strategy image",
        ),
        ({"sample.generators.diffusion": {"strategy": "image"}}, "sample.generators.diffusion.strengths", "[0.3, 0.6]"),
        (
            {"sample.generators.diffusion": {"strategy": "image", "strengths": [0.3, 0.04]}},
            "sample.generators.diffusion.strengths",
            "0.04 of 20 steps is less than one",
        ),
        (
            {"classify.arms.nil": {"real": False}},
            "classify.arms.nil",
            "nothing to train on; choose from real, more_real, augment, synthetic",
        ),
        (
            {"prepare.held_back": 0.5},
            "classify.arms.classic+more_real.more_real",
            "1 asked for, prepare.held_back is 0.5",
        ),
        (
            {"classify.arms.nil": {"augment": ["clasic"]}},
            "classify.arms.nil.augment",
            "unknown 'clasic'; choose from classic",
        ),
        ({"augment.policies.mixed": [{"name": "HorizontalFlip"}]}, "augment.policies.mixed", "taken"),
        ({"augment.policies.train": [{"name": "HorizontalFlip"}]}, "augment.policies.train", "taken"),
        (
            {"train_pretrained": {"sd": {"base": "~/sd", "base_licence": "mit"}}},
            "train_pretrained.sd.base",
            "~ is not expanded",
        ),
        ({"train_pretrained": {"": {"base": "sd", "base_licence": "mit"}}}, "train_pretrained..[key]", "should match"),
        ({"train_pretrained": None}, "train_pretrained", "valid dictionary"),
        *(
            ({"train_pretrained": {name: {"base": "sd", "base_licence": "mit"}}}, f"train_pretrained.{name}", "taken")
            for name in ("real", "held_back", "reconstructions", "stylegan")
        ),
        ({"classify.arms.nil": {"real": False, "synthetic": {}}}, "classify.arms.nil", "nothing to train on"),
        (
            {"classify.arms.placebo.use": "first"},
            "classify.arms.placebo.use",
            "first is for networks that are trained, not for a head on frozen ones; set its mode, or classify.mode",
        ),
        (
            {"classify.mode": "full", "classify.arms.classic.use": "mixed_first"},
            "classify.arms.classic.use",
            "mixed_first needs real images, and synthetic or repeated ones; choose labelled",
        ),
        (
            {"classify.mode": "scratch", "classify.arms.nil": {"repeat": 1.0, "use": "consistency"}},
            "classify.arms.nil.use",
            "consistency needs a policy in classify.arms.nil.augment",
        ),
        (
            {"classify.mode": "full", "classify.arms.nil": {"repeat": 1.0, "use": "first", "mix": "mixup"}},
            "classify.arms.nil.use",
            "first has synthetic images alone at first, mix mixes them with the others; drop one",
        ),
    ],
)
def test_names_that_disagree_are_told_apart(tmp_path: Path, changes: dict[str, object], key: str, told: str) -> None:
    [line] = faults(tmp_path, changes)
    assert line.startswith(f"{key}: ")
    assert told in line


def test_a_replicate_has_a_seed_of_its_own(tmp_path: Path) -> None:
    top = load_changed(tmp_path, {"seed": 3, "replicates": [0, 1, 2]})
    first, second, third = (top.of_replicate(number) for number in (0, 1, 2))
    assert first == top
    assert len({each.seed for each in (first, second, third)}) == 3
    assert second.seed == top.of_replicate(1).seed
    assert [each.base_seed for each in (first, second, third)] == [3, 3, 3]
    assert second.model_dump(exclude={"seed"}) == top.model_dump(exclude={"seed"})


def test_a_generator_is_sampled_once(tmp_path: Path) -> None:
    """Twice would give two stages of one name."""
    text = SHIPPED.read_text(encoding="utf-8").replace("    vae: {spread", "    vae: {}\n    vae: {spread", 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match='duplicate key "vae"'):
        params.load(tmp_path / "params.yaml")


@pytest.mark.parametrize("diffaugment", [["translation"], ["brightness", "cutout"]])
def test_adaptive_augmentation_takes_the_place_of_diffaugment(tmp_path: Path, diffaugment: list[str]) -> None:
    key = "train_gan.dcgan"
    for target in (0.6, 0.0, -0.5):
        both: dict[str, object] = {f"{key}.ada_target": target, f"{key}.diffaugment": diffaugment}
        assert faults(tmp_path, both) == [
            f"{key}.ada_target: adaptive augmentation takes the place of diffaugment, which must be []"
        ]
        loaded = load_changed(tmp_path, {**both, f"{key}.diffaugment": []}).train_gan["dcgan"]
        assert (loaded.ada_target, loaded.diffaugment) == (target, [])
    loaded = load_changed(tmp_path, {f"{key}.ada_target": None, f"{key}.diffaugment": diffaugment}).train_gan["dcgan"]
    assert (loaded.ada_target, loaded.diffaugment) == (None, diffaugment)


@pytest.mark.parametrize(
    "launch",
    [
        "python",
        "python -O",
        "torchrun --standalone --nproc-per-node 4",
        "accelerate launch",
        "accelerate launch --num_processes 2",
    ],
)
def test_training_starts_by_a_python_or_a_launcher_of_processes(tmp_path: Path, launch: str) -> None:
    assert load_changed(tmp_path, {"launch": launch}).launch == launch


def test_how_a_generator_is_drawn_from_has_defaults(tmp_path: Path) -> None:
    arms: dict[str, object] = {"classify.arms": {"classic": {}}}
    loaded = load_changed(tmp_path, {**arms, "sample.generators": {"dcgan": {}, "vae": {"spread": 2}}})
    assert loaded.sample.generators == {"dcgan": Drawing(spread=1.0, strategy=None), "vae": Drawing(spread=2.0)}
    for generator, strategies in STRATEGIES.items():
        strengths = {"strengths": [0.3]} if generator in DENOISING else {}
        for strategy in strategies:
            drawing = {"strategy": strategy} | (strengths if strategy != "prior" else {})
            loaded = load_changed(tmp_path, {**arms, "sample.generators": {generator: drawing}})
            of_generator = loaded.sample.generators[generator]
            assert of_generator.model_dump(exclude_none=True) == {"spread": 1.0, **drawing}
            assert of_generator.options == {"spread": 1.0}
            assert of_generator.from_images is (strategy != "prior")


def test_every_strategy_is_some_generator_s() -> None:
    assert set(get_args(Strategy)) == {strategy for of_one in STRATEGIES.values() for strategy in of_one}
    assert set(GENERATORS) == set(STRATEGIES)
    assert set(DENOISING) | set(PAIRING) <= {*STRATEGIES, *get_args(Strategy)}


def test_a_filter_can_be_switched_off(tmp_path: Path) -> None:
    zeros: dict[str, object] = {"sample.filter": {"min_confidence": 0, "near_copy_quantile": 0, "max_draws": 1}}
    rules = load_changed(tmp_path, zeros).sample.filter
    assert rules.model_dump(exclude_defaults=True) == {
        "min_confidence": 0.0,
        "near_copy_quantile": 0.0,
        "max_draws": 1.0,
    }
    assert not rules.refuses


@pytest.mark.parametrize(
    "recipe",
    [
        {"augment": ["classic"]},
        {"synthetic": {"vae": 1.0}},
        {"augment": ["classic"], "synthetic": {"dcgan": 0.5, "vae": 1}},
    ],
)
def test_an_arm_may_leave_the_real_images_out(tmp_path: Path, recipe: dict[str, object]) -> None:
    loaded = load_changed(tmp_path, {"classify.arms.apart": {"real": False, **recipe}}).classify.arms
    assert not loaded["apart"].real
    assert loaded["apart"].model_dump(exclude_unset=True) == {"real": False, **recipe}
    assert loaded["none"] == Arm(real=True, more_real=0, augment=[], synthetic={}, mix=None, balance=None)
    much: dict[str, object] = {"classify.arms.apart": {"real": False, "synthetic": {"vae": 9.0}}}
    [line] = faults(tmp_path, much)
    assert line.startswith("classify.arms.apart.synthetic.vae: 9 per labelled image are 900 a class")


def test_what_may_be_left_out_of_a_gan_s_training(tmp_path: Path) -> None:
    optional = {"r1_gamma": 0.0, "r1_every": 16, "path_length_weight": 0.0, "path_length_every": 8, "ada_target": None}
    required = [name for name, field in GanTraining.model_fields.items() if field.is_required()]
    assert not set(required) & set(optional)
    content = shipped()["train_gan"]["stylegan"]
    least = {key: value for key, value in content.items() if key in required}
    loaded = load_changed(tmp_path, {"train_gan.stylegan": least}).train_gan["stylegan"]
    assert {key: getattr(loaded, key) for key in optional} == optional


def leaves(content: Any, key: str = "") -> Iterator[str]:
    """The dotted key of everything that holds no further keys."""
    if content and isinstance(content, dict | list):
        for part, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, f"{key}.{part}" if key else str(part))
    else:
        yield key


def test_every_value_is_checked_and_every_fault_has_its_line(tmp_path: Path) -> None:
    """A date is allowed nowhere, but for the arguments that albumentations and the networks check themselves."""
    keys = [key for key in leaves(shipped()) if ".kwargs." not in key and ".network." not in key]
    assert len(keys) > 50
    lines = faults(tmp_path, dict.fromkeys(keys, datetime.date(2024, 2, 29)))
    assert sorted(key_of(line) for line in lines) == sorted(keys)


def test_every_key_of_every_section_is_required(tmp_path: Path) -> None:
    lines = faults(tmp_path, {section: {} for section in SECTIONS})
    required = [
        f"{section}.{key}"
        for section in SECTIONS
        if isinstance(annotation := Params.model_fields[section].annotation, type) and issubclass(annotation, Section)
        for key, field in annotation.model_fields.items()
        if field.is_required()
    ]
    assert lines == [f"{key}: missing" for key in required]


def test_faults_of_different_kinds_are_all_told_at_once(tmp_path: Path) -> None:
    changes = {
        "device": "gpu",
        "prepare.image_size": 30,
        "prepare.test_fraction": ABSENT,
        "augment.policies.classic.2.name": 7,
        "train_vae.kl_wieght": 1.0,
        "compare.confidence": 95,
    }
    lines = faults(tmp_path, changes)
    told = [key_of(line) for line in lines]
    # A rule about a whole section, as image_size's, waits until the section's own keys are in order.
    assert sorted(told) == sorted(changes.keys() - {"prepare.image_size"})


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    text = re.sub(r"learning_rate: \S+", "learning_rate: 1e-3", SHIPPED.read_text(encoding="utf-8"))
    text = re.sub(r"kl_weight: \S+", "kl_weight: 1", text)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    loaded = params.load(tmp_path / "params.yaml")
    assert loaded.train_vae.learning_rate == loaded.classify.head.learning_rate == 0.001
    assert isinstance(loaded.train_vae.kl_weight, float)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"seed: [0", "not valid YAML"),
        (b"seed: 0\nseed: 1\n", 'duplicate key "seed"'),
        (b"seed: 0\n---\nseed: 1\n", "not valid YAML"),
        (b"seed: !!python/object:os.system {}", "not valid YAML"),
        ("folder: Stylé".encode("latin-1"), "not valid YAML"),
        (b"", "expected the keys seed, replicates, device, threads, launch, log, prepare"),
        (b"- seed\n- device\n", "expected the keys seed, replicates, device, threads, launch, log, prepare"),
        (b"seed", "expected the keys seed, replicates, device, threads, launch, log, prepare"),
    ],
)
def test_a_file_that_is_no_mapping_of_keys_is_named_in_one_line(tmp_path: Path, text: bytes, told: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        params.load(path)
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{path}: ")
    assert told in line


def test_a_key_given_twice_in_a_section_is_refused(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8").replace("  copies:", "  copies: 1\n  copies:", 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match='duplicate key "copies"'):
        params.load(tmp_path / "params.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: No such file"):
        params.load(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError, match="Is a directory"):
        params.load(tmp_path)


def test_in_the_wrong_folder_one_line_says_where_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^no params.yaml in {tmp_path}; run this in a checkout, such as {CHECKOUT}$"):
        params.load()
    Path("params.yaml").write_text("reference: classic\n")  # a study's
    with pytest.raises(UserError, match=f"^params.yaml in {tmp_path} has none of the keys seed, .*; run this in "):
        params.load()
    monkeypatch.chdir(CHECKOUT / "tests")
    with pytest.raises(UserError, match=f"^no params.yaml in {CHECKOUT}/tests; run this in {CHECKOUT}$"):
        params.load()


@pytest.mark.parametrize("name", Params.model_fields)
def test_sections_are_frozen(name: str) -> None:
    loaded = params.load(SHIPPED)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(loaded, name, getattr(loaded, name))
    section = getattr(loaded, name)
    if isinstance(section, Section):
        key = next(iter(type(section).model_fields))
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, getattr(section, key))


@dataclass(frozen=True)
class Network:
    width: int
    slope: float = 0.2
    residual: bool = False
    activation: Literal["relu", "silu"] = "silu"


def test_a_network_gets_its_own_config() -> None:
    assert network_config(Network, "train_gan.demo.network", {"width": 8, "slope": 1}) == Network(8, 1.0)
    everything = {"width": 8, "slope": 0.1, "residual": True, "activation": "relu"}
    assert network_config(Network, "train_gan.demo.network", everything) == Network(8, 0.1, True, "relu")


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        ({"wdth": 8}, "wdth", "unknown key; choose from width, slope, residual, activation"),
        ({"width": ABSENT}, "width", "missing"),
        ({"width": True}, "width", "True: input should be a valid integer"),
        ({"width": 8.0}, "width", "8.0: input should be a valid integer"),
        ({"width": "8"}, "width", "'8': input should be a valid integer"),
        ({"slope": "0.2"}, "slope", "'0.2': input should be a valid number"),
        ({"residual": 1}, "residual", "1: input should be a valid boolean"),
        ({"activation": "gelu"}, "activation", "unknown 'gelu'; choose from relu, silu"),
    ],
)
def test_a_faulty_network_entry_is_named_and_told_what_is_allowed(
    changes: dict[str, object], key: str, told: str
) -> None:
    values = {name: value for name, value in {"width": 8, **changes}.items() if value is not ABSENT}
    with pytest.raises(UserError) as caught:
        network_config(Network, "train_gan.demo.network", values)
    assert str(caught.value) == f"train_gan.demo.network.{key}: {told}"


def test_several_faults_of_a_network_give_several_lines() -> None:
    with pytest.raises(UserError) as caught:
        network_config(Network, "train_gan.demo.network", {"slope": "steep", "depth": 3})
    keys = [key_of(line) for line in str(caught.value).splitlines()]
    assert sorted(keys) == [f"train_gan.demo.network.{key}" for key in ("depth", "slope", "width")]


def test_an_arm_that_asks_for_more_than_is_sampled_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    much: dict[str, object] = {"classify.arms.much": {"synthetic": {"vae": 9.0}}}
    with pytest.raises(
        UserError, match=r"^classify.arms.much.synthetic.vae: 9 per labelled image are 900 a class, but .* is 500$"
    ):
        load_changed(tmp_path, much)
    load_changed(tmp_path, much | {"prepare.labels_per_class": None})  # then only `prepare` knows


def test_the_arms_that_the_manual_suggests_are_allowed(tmp_path: Path) -> None:
    """Those with a `use` where the backbone is trained."""
    page = (SHIPPED.parent / "docs/pipeline.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if re.match(r" +\w+: \{.*(synthetic|repeat): ", line)]
    recipes = {name: recipe for line in lines for name, recipe in YAML(typ="safe", pure=True).load(line).items()}
    assert {*recipes} == {"vae_only", "first", "mixed_first", "alike", "copies_first", "filled", "refilled"}
    # And those that params.yaml has in comments.
    commented = re.findall(r"^    # (\w+: \{augment.*?\})(?:   #.*)?$", SHIPPED.read_text(), flags=re.MULTILINE)
    recipes |= {name: recipe for line in commented for name, recipe in YAML(typ="safe", pure=True).load(line).items()}
    assert {"adjusted", "filled"} <= {*recipes}
    for name, recipe in recipes.items():
        mode = "full" if "use" in recipe else "head"
        arm = load_changed(tmp_path, {f"classify.arms.{name}": recipe, "classify.mode": mode}).classify.arms[name]
        assert arm.model_dump(exclude_unset=True) == recipe
