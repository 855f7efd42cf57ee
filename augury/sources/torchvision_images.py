"""The torchvision source: public image sets by the names that torchvision gives them."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augury.images.names import distinct_class_names, printable
from augury.pipeline.downloads import SOCKET_TIMEOUT, socket_timeout
from augury.pipeline.errors import UserError, check_known, one_line
from augury.pipeline.outputs import whole_directory
from augury.pipeline.preparing import Prepare
from augury.sources.listed_images import ListedImage, Listing, read_listed
from augury.sources.raw_images import RawImages

CACHE = Path(".cache/torchvision")  # untracked


# Sets with one class per image: name -> split -> the arguments that choose it.
PUBLIC_SETS: dict[str, dict[str, dict[str, Any]]] = {
    **{
        name: {"train": {"train": True}, "test": {"train": False}}
        for name in ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS")
    },
    **{
        name: {"train": {"split": "train"}, "test": {"split": "test"}}
        for name in ("Food101", "GTSRB", "STL10", "SVHN", "StanfordCars")
    },
    **{
        name: {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}
        for name in ("DTD", "FGVCAircraft", "Flowers102", "PCAM", "RenderedSST2")
    },
    **{name: {"train": {}} for name in ("Caltech101", "Caltech256", "EuroSAT", "SEMEION", "SUN397")},
    "Country211": {"train": {"split": "train"}, "validation": {"split": "valid"}, "test": {"split": "test"}},
    "EMNIST": {"train": {"split": "balanced", "train": True}, "test": {"split": "balanced", "train": False}},
    "Imagenette": {"train": {"split": "train", "size": "160px"}, "validation": {"split": "val", "size": "160px"}},
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
}
CREATES = {"Caltech101": "caltech101", "Caltech256": "caltech256"}  # folders that are made even where it is to look


def torchvision_images(prepare: Prepare) -> RawImages:
    """The set that prepare.source names, from prepare.folder where its files are there, from .cache/torchvision if not.

    What the cache lacks is downloaded into it. Raises UserError, in one line, where neither place can give the set.
    """
    name = prepare.source.removeprefix("torchvision:")
    check_known("prepare.source: torchvision", name, sorted(PUBLIC_SETS))
    splits, place = _find(name, Path(prepare.folder))
    class_names = _class_names(splits["train"], name)
    count = sum(len(images) for images in splits.values())
    return read_listed(Listing(_images(splits, class_names, name), class_names, place, count), prepare)


def _find(name: str, folder: Path) -> tuple[dict[str, Any], Path]:
    """The splits as torchvision's data sets, and the folder that has their files."""
    failures = []
    for obtain, place, title in (
        (_look, folder, f"{folder}"),
        (_download, CACHE / name, f"{CACHE / name} and download"),
    ):
        try:
            return obtain(name, place), place
        # Each of these sets fails in ways of its own: RuntimeError, URLError, ValueError, ImportError, KeyError, ...
        except Exception as error:
            failures.append(f"{title}: {printable(one_line(error)).partition('. You can use download=True')[0]}")
    raise UserError(f"prepare.source: torchvision:{name} cannot be had ({'; '.join(failures)})")


def _look(name: str, place: Path) -> dict[str, Any]:
    creates = CREATES.get(name)
    if creates is not None and not (place / creates).is_dir():
        raise FileNotFoundError(f"no folder {creates}")
    for path in place.rglob("*"):
        if path.exists() and not path.is_file() and not path.is_dir():  # torchvision would wait for a pipe
            raise OSError(f"{path.relative_to(place)}: not a regular file")
    return _opened(name, place, download=False)


def _download(name: str, place: Path) -> dict[str, Any]:
    """From `place`, where a finished download is there; a kill in the midst of one leaves nothing behind."""
    if place.is_dir():
        with contextlib.suppress(Exception):  # whatever is amiss there, it is fetched anew
            return _look(name, place)
    with whole_directory(place, shared=True) as partial:
        _opened(name, partial, download=True)
    return _look(name, place)


def _opened(name: str, place: Path, *, download: bool) -> dict[str, Any]:
    from torchvision import datasets  # takes seconds to import

    with socket_timeout(SOCKET_TIMEOUT):
        return {
            split: getattr(datasets, name)(root=str(place), download=download, **arguments)
            for split, arguments in PUBLIC_SETS[name].items()
        }


def _class_names(images: Any, name: str) -> tuple[str, ...] | None:
    """As torchvision has them; None where it knows numbers alone."""
    names = getattr(images, "classes", None) or getattr(images, "categories", None)
    if not names:
        return None
    # Imagenette's are tuples of synonyms.
    return distinct_class_names([each if isinstance(each, str) else each[0] for each in names], f"torchvision:{name}")


def _images(splits: Mapping[str, Any], class_names: tuple[str, ...] | None, name: str) -> Iterator[ListedImage]:
    for split, images in splits.items():
        for row in range(len(images)):
            place = f"torchvision:{name}, {split} image {row}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow's, of odd EXIF or TIFF tags
                    image, label = images[row]
            except Exception as error:  # a damaged file among those that the set names
                yield ListedImage(split, None, place, None, problem=printable(one_line(error)))
                continue
            classes = float("inf") if class_names is None else len(class_names)
            known = isinstance(label, (int, np.integer)) and 0 <= label < classes
            problem = None if known else f"label {label}"
            if not isinstance(image, Image.Image):
                problem = f"{type(image).__name__} instead of an image"
            yield ListedImage(split, int(label) if known else None, place, image, problem=problem)
