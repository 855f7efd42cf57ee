"""Cards: what goes with a data set or a generator that leaves this project, as README.md for the Hugging Face Hub.

A card says what the images are made from, by what, from which seeds, how they scored beside real images at the same n,
whether they helped the classifier, and what they are not for. What was not measured is said not to have been.
"""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData, EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from augury.evidence.results import Results, if_there
from augury.pipeline.drawing import Drawing, Filter
from augury.pipeline.params import Params
from augury.pipeline.preparing import FOLDER_SOURCES
from augury.pipeline.replicates import SPLITS

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "templates"
# Sources whose title, licence and origin are known; those of other images only their owner can tell.
KNOWN_SOURCES = {
    "fashion_mnist": (
        "Fashion-MNIST",
        "mit",
        "Zalando SE; Xiao, Rasul and Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
    ),
    "digits": (
        "Optical Recognition of Handwritten Digits",
        "cc-by-4.0",
        "Alpaydin and Kaynak 1998, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, as scikit-learn "
        "has it",
    ),
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
READING = {  # layout -> how the libraries open it
    "parquet": """images = datasets.load_dataset("FOLDER")  # image, label as a class, provenance""",
    "imagefolder": """\
images = torchvision.datasets.ImageFolder("FOLDER")  # classes in order of their folders' names
images = timm.data.create_dataset("", "FOLDER", class_map="classnames.txt")  # classes in the order above
images = datasets.load_dataset("FOLDER")  # label as text, provenance""",
    "webdataset": """\
images = webdataset.WebDataset("FOLDER/....tar").decode("rgb").to_tuple("png", "cls", "json")
images = datasets.load_dataset("FOLDER")""",
    "csv": """\
table = pandas.read_csv("FOLDER/labels.csv", keep_default_na=False)  # path (in the folder), label, provenance""",
}
SCORES = {  # key of data/scores/<generator>.json -> its title, and whether larger or smaller is better
    "fd": ("Fréchet distance", "smaller"),
    "kid": ("KID", "smaller"),
    "precision": ("Precision", "larger"),
    "recall": ("Recall", "larger"),
    "density": ("Density", "larger"),
    "coverage": ("Coverage", "larger"),
}


@dataclass(frozen=True)
class Source:
    """The real images that all comes from; None where nobody has said."""

    title: str
    licence: str | None
    attribution: str | None


def dataset_card(
    params: Params,
    *,
    origin: str,
    class_names: Sequence[str],
    counts: Sequence[int],
    image_size: int,
    channels: int,
    layout: str,
    data_files: str | None,
    generation: Mapping[str, Any] | None = None,
    masks: bool = False,
    results: Results,
) -> str:
    """The card of a data set on disk, as text.

    origin: name of a split, of an augmentation policy or of a generator. class_names (K,), counts (K,): its images.
    layout: parquet, imagefolder, webdataset or csv. data_files: what the Hub's loader is to read, as a glob.
    generation: how `python -m augury generate` made it; None for what the pipeline itself left. masks: whether it has
    those of its objects.
    """
    synthetic = generation is not None or origin in params.sample.generators
    source, base = _source(params), results.base(origin) if generation is None else generation.get("base")
    total, split = sum(counts), origin if origin in ("train", "validation", "test") else "train"  # as the Hub has it
    title = source.title if origin in SPLITS else f"{source.title}, {'synthetic' if synthetic else 'augmented'}"
    metadata = DatasetCardData(
        license=_licence(source, base),
        pretty_name=f"{title}: {origin}",
        task_categories=["image-classification"],
        size_categories=next((name for limit, name in SIZES if total < limit), "n>1M"),
        annotations_creators=["machine-generated"] if synthetic else None,
        **({"license_name": base["licence"]} if base else {}),
        tags=["augury", "synthetic" if synthetic else "augmented" if origin not in SPLITS else "real"],
        configs=None
        if data_files is None
        else [{"config_name": "default", "data_files": [{"split": split, "path": data_files}]}],
    )
    text = _environment().get_template("dataset.md.jinja").render(
        card_data=metadata.to_yaml(),
        params=params,
        origin=origin,
        kind="real" if origin in SPLITS else "synthetic" if synthetic else "augmented",
        title=title,
        source=source,
        counts=list(zip(class_names, counts, strict=True)),
        total=total,
        image_size=image_size,
        color="gray" if channels == 1 else "RGB",
        layout=layout,
        reading=READING[layout],
        generation=generation,
        masks=masks,
        base=base,
        **(_of_set(params, origin, results, generation) if synthetic else {}),
    )  # fmt: skip
    return str(DatasetCard(_spaced(text)))


def model_card(params: Params, generator: str, results: Results) -> str:
    """The card of a trained generator, as text."""
    source, about, base = _source(params), _about_generator(params, generator, results), results.base(generator)
    splits = if_there(results.splits)
    name = f"{generator} for {source.title}"
    scores = about["scores"]
    measured = [] if scores is None else [
        EvalResult(
            task_type="image-generation",
            task_name="class-conditional image generation",
            dataset_type=params.prepare.source,
            dataset_name=source.title,
            metric_type=key,
            metric_name=f"{title} [{scores['extractor']}], n = {scores['n_per_side']} a side",
            metric_value=scores[key],
        )
        for key, (title, _) in SCORES.items()
        if scores[key] is not None
    ]  # fmt: skip
    metadata = ModelCardData(
        license=_licence(source, base),
        library_name="diffusers" if generator == "diffusion" or base else "pytorch",
        pipeline_tag="text-to-image" if base else "unconditional-image-generation",
        tags=["augury", "class-conditional", "image-generation", generator, *(["lora"] if base else [])],
        base_model=base["name"] if base and "/" in base["name"] else None,
        **({"base_model_relation": "adapter", "license_name": base["licence"]} if base else {}),
        model_name=name,
        eval_results=measured or None,
    )
    text = _environment().get_template("model.md.jinja").render(
        card_data=metadata.to_yaml(),
        params=params,
        generator=generator,
        title=name,
        source=source,
        config=results.config(generator),
        training=results.training(generator),
        train_count=None if splits is None else sum(splits["train"]),
        base=base,
        **about,
    )  # fmt: skip
    return str(ModelCard(_spaced(text)))


def _licence(source: Source, base: Mapping[str, Any] | None) -> str:
    """As the Hub has it: what began with a base is under two, and the card names both."""
    return "other" if base else source.licence or "unknown"


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weights and settings of the generator in `folder`, by which two copies can be told apart."""
    whole = hashlib.sha256()
    for path in sorted([*folder.rglob("*.safetensors"), *folder.rglob("config.json")]):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _source(params: Params) -> Source:
    """Title, licence and attribution of the real images: what params.yaml says, else what the source is known by."""
    name = params.prepare.source
    fallback = Path(params.prepare.folder).resolve().name if name in FOLDER_SOURCES else name
    title, licence, attribution = KNOWN_SOURCES.get(name, (fallback.removeprefix("torchvision:"), None, None))
    asked = params.cards
    return Source(asked.title or title, asked.licence or licence, asked.attribution or attribution)


def _of_set(params: Params, origin: str, results: Results, generation: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a card says of a synthetic set: by the plan in its own folder, where `augury generate` made it.

    What the pipeline found out is left out where its generator, by now, is another one.
    """
    about = _about_generator(params, origin, results)
    drawing, rules = params.sample.generators.get(origin), params.sample.filter
    if generation is None:
        training = if_there(results.training, origin)
        about["adapted"] = training is None or training["kept_kimg"] > 0
        return {**about, "drawing": drawing, "rules": rules}
    about["adapted"] = (generation.get("base") or {}).get("kept_kimg", 1) > 0
    if "options" in generation:
        drawing = Drawing.model_validate(generation["options"])
    if generation.get("filter"):
        rules = Filter.model_validate(generation["filter"])
    if generation.get("weights", about["digest"]) != about["digest"]:
        about |= {"scores": None, "selection": None, "digest": generation["weights"], "replaced": True}
        about["helped"] = "Not known of this generator."
    return {**about, "drawing": drawing, "rules": rules}


def _about_generator(params: Params, generator: str, results: Results) -> dict[str, Any]:
    """What the pipeline found out about a generator, as far as its stages have run."""
    folder = results.generator(generator)
    return {
        "scores": if_there(results.scores, generator),
        "score_titles": SCORES,
        "selection": if_there(results.selection, generator),
        "helped": _helped(params, generator, results),
        "digest": weights_digest(folder) if folder.exists() else None,
        "replaced": False,
    }


def _helped(params: Params, generator: str, results: Results) -> dict[str, Any] | str:
    """The arms that learn from a generator's images, each with its gain over the reference, at the widest scope.

    What is said instead, where there is no comparison, or one of other arms, or of a version with other keys.
    """
    comparison = if_there(results.comparison)
    if comparison is None:
        return "Not tried: `dvc repro compare` has not run."
    try:
        using = {arm: params.classify.arms[arm].synthetic for arm in comparison["arms"]}
        return {
            "verdicts": [
                {
                    "arm": arm,
                    "others": [name for name in using[arm] if name != generator],
                    "alone": entry["kind"] == "synthetic",
                    "sentence": entry["gain"][comparison["scope"]]["sentence"],
                }
                for arm, entry in comparison["arms"].items()
                if generator in using[arm] and entry["gain"] is not None
            ],
            "measure": comparison["measure"]["title"],
            "recipe": comparison["chosen"]["recipe"]["sentence"] if "recipe" in comparison["chosen"] else None,
            **{key: comparison[key] for key in ("reference", "replicates", "n_test", "confidence")},
        }
    except (KeyError, TypeError):
        log.warning("%s is out of date, and left out of the card; run `dvc repro`", results.data / "comparison.json")
        return "Not known: the comparison is out of date; `dvc repro` makes it anew."


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=False, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "plain": _plain,
        "count": lambda count: f"{count:,}",
        "number": lambda value: "not computed" if value is None else f"{value:.4g}",
        "percent": lambda fraction: f"{100 * fraction:.2f}%",
    }
    return environment


def _plain(text: object) -> str:
    """Text that a class or a file brought along, without what Markdown, HTML or a table would take as theirs."""
    shown = " ".join(str(text).split())
    for character in "\\`*_[]|~":
        shown = shown.replace(character, f"\\{character}")
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _spaced(text: str) -> str:
    """At most one empty line in a row: what a template leaves out leaves its own behind."""
    return re.sub(r"\n{3,}", "\n\n", text)
