"""The imagefolder source: a folder per class, optionally below those of train, validation and test."""

import logging
import re
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path

from augury.images.files import IMAGE_SUFFIXES, walk_images
from augury.images.folders import folders_in, is_foreign
from augury.images.names import distinct_class_names, printable, shortened
from augury.images.other_formats import counted
from augury.pipeline.destinations import check_source_folder
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.sources.listed_images import ListedImage, Listing, check_link, group_in
from augury.sources.split_names import KNOWN_SPLIT_NAMES, SPLIT_WORDS, split_and_rest, split_called
from augury.sources.tables import TABLE, tables_in

log = logging.getLogger(__name__)

GLANCED = 1_000  # files of a folder that are looked at to see whether it holds images
# Folders that are never called after what their images show: those of detection and segmentation sets, and parts.
NO_CLASSES = frozenset(
    ("images", "image", "imgs", "img", "pictures", "photos", "jpegimages", "labels", "annotations", "masks", "mask")
)
DATE = re.compile(r"(19|20)\d\d([-_. ]?\d\d){0,2}")
# Of a set, of the time in which it was recorded, of those whom it shows.
PARTS = frozenset(
    (
        "fold", "part", "parts", "batch", "chunk", "split", "shard", "subset", "session", "visit", "series", "study",
        "patient", "patients", "subject", "subjects", "participant",
    )
)  # fmt: skip


def list_imagefolder(prepare: Prepare) -> Listing:
    """`prepare.folder`/class/image.png, optionally with the folders of train, validation and test above the classes.

    prepare.class_level says how many folders down those of the classes are. Images may lie in further folders below
    their class. Raises UserError where a folder, class or image is missing or unreadable, where the splits differ in
    classes, and where other folders may as well be the classes.
    """
    root = Path(prepare.folder)
    folders = split_folders(root)
    listed = {split: _list_classes(folder, root, prepare.class_level) for split, folder in folders.items()}
    class_names = tuple(listed["train"])
    for split, classes in listed.items():
        _check_same_classes(folders["train"], class_names, folders[split], tuple(classes))
    if len(class_names) < 2:
        hint = _hint(folders_in(folders["train"]))
        raise UserError(f"{folders['train']}: 1 class ({class_names[0]}), at least 2 are needed{hint}")
    images = [
        ListedImage(split, label, str(path), path, file := path.relative_to(root).as_posix(), group_in(file, prepare))
        for split, classes in listed.items()
        for label, paths in enumerate(classes.values())
        for path in paths
    ]
    return Listing(images, class_names, root, len(images))


def holds_images(folder: Path) -> bool:
    """Whether there are images in the folder itself."""
    glanced = islice(folder.iterdir(), GLANCED)
    return any(path.suffix.lower() in IMAGE_SUFFIXES and not is_foreign(path.name) for path in glanced)


def split_folders(root: Path) -> dict[str, Path]:
    """Split -> folder that holds its classes; only "train", the root itself, where there is no such level.

    Raises UserError where splits hold images and no class folders, a split is there twice, or none is to learn from.
    """
    check_source_folder(root, "prepare.folder", f"{root}/<class>/<image>")
    folders = folders_in(root)
    found: dict[tuple[str, ...], dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for folder in folders:
        split, rest = split_and_rest(folder.name)
        if split is not None:
            found[rest][split].append(folder)
    # seg_train and seg_test are splits; of a train_station beside a test_tube nobody would say so.
    levels = [splits for rest, splits in sorted(found.items()) if "train" in splits and (len(splits) > 1 or not rest)]
    if not levels:
        if len(found[()]) > 1 and sum(map(len, found[()].values())) == len(folders):
            raise UserError(f"{root}: {shortened([path.name for path in folders])}: none is called train")
        return {"train": root}
    splits = levels[0]
    if twice := [paths for paths in splits.values() if len(paths) > 1]:
        raise UserError(f"{root}: both {' and '.join(path.name for path in twice[0])}; keep one of them")
    chosen = {split: splits[split][0] for split in SPLIT_WORDS if split in splits}
    if not folders_in(chosen["train"]) or _is_unlabelled(chosen["train"]):
        if len(chosen) > 1:
            raise UserError(_flat(root, [*chosen.values()]))
        return {"train": root}  # the class of trains
    _warn_of_others(root, chosen, [path for path in folders if path not in chosen.values()])
    unpacked = {split: _unpacked(folder) for split, folder in chosen.items()}
    for split, folder in chosen.items():
        if split != "train" and _is_unlabelled(folder):  # as for a competition
            log.warning("%s: the %s split is left out, since none of its images has a label", root, split)
            del unpacked[split]
    return unpacked


def _is_unlabelled(split: Path) -> bool:
    """Whether a split holds images and no classes, be it in a folder images/ of its own."""
    below = folders_in(split)
    if len(below) == 1 and below[0].name.lower() in NO_CLASSES and not holds_images(split):
        split, below = below[0], folders_in(below[0])
    return holds_images(split) and not below


def _flat(root: Path, splits: list[Path]) -> str:
    """What to do about splits that hold images and no class folders."""
    names = shortened([path.name for path in splits])
    tables = [path.relative_to(root).as_posix() for folder in (root, *splits) for path in tables_in(folder)]
    asked = f"; are the labels in {shortened(tables)}?" if tables else ";"
    first = next(iter(walk_images(splits[0])[0]), None)
    example = "" if first is None else f", such as {printable(first.relative_to(root))},<class>,train"
    wanted = f"write {printable(root / TABLE)} with the columns path, label and split{example}"
    return f"{root}: {names}: no class folders in them{asked} {wanted}, or make <split>/<class>/<image>"


def _warn_of_others(root: Path, chosen: dict[str, Path], others: list[Path]) -> None:
    """Of folders beside the splits. Raises UserError where train may as well be a class like them."""
    names = shortened([path.name for path in others])
    if len(chosen) == 1 and any(map(folders_in, others)):
        train = chosen["train"].name
        raise UserError(f"{root}: is {train} a split, or a class like {names}? Rename it, or move the others away")
    if others:
        log.warning("%s: ignored %s, beside train only %s are read", root, names, KNOWN_SPLIT_NAMES)


def _unpacked(folder: Path) -> Path:
    """The folder itself, or the only one in it, where that is called by the same split, as archives are unpacked."""
    below = folders_in(folder)
    packed = len(below) == 1 and not holds_images(folder)
    return below[0] if packed and split_and_rest(below[0].name) == split_and_rest(folder.name) else folder


def _list_classes(folder: Path, root: Path, class_level: int | None) -> dict[str, list[Path]]:
    """Class -> its image files, both in order of name."""
    level = _level_of_classes(folder) if class_level is None else class_level
    places, passed_over = [folder], list[Path]()
    for _ in range(level):
        passed_over += [
            path for place in places for path in place.iterdir() if is_foreign(path.name) or not path.is_dir()
        ]
        places = [path for place in places for path in folders_in(place)]
        for path in places:
            check_link(path, root)
    if not places:
        raise UserError(f"{folder}: no class folders; expected {folder}/{'*/' * (level - 1)}<class>/<image>")
    named: list[tuple[str, Path]] = []
    for parent in sorted({path.parent for path in places}):
        below = [path for path in places if path.parent == parent]
        named += zip(distinct_class_names([path.name for path in below], str(parent)), below, strict=True)
    classes: dict[str, list[Path]] = defaultdict(list)
    for name, path in sorted(named):
        _check_level(path, folder)
        images, others = walk_images(path)
        classes[name] += images
        passed_over += others
    kinds = counted(passed_over, by_name={path.name for path in tables_in(folder)})
    if empty := [name for name, paths in classes.items() if not paths]:
        found = f"; passed over {kinds}" if passed_over else ""
        found += _hint([path for name, path in named if classes[name]])
        raise UserError(f"{folder}: no {', '.join(IMAGE_SUFFIXES)} file in class folder {shortened(empty)}{found}")
    if passed_over:
        log.warning("%s: passed over %d files that are not images of a class: %s", folder, len(passed_over), kinds)
    return dict(classes)


def _level_of_classes(folder: Path) -> int:
    """1. Raises UserError where the folders there are no classes, or those below them may be: years, sites, folds."""
    places = folders_in(folder)
    names = shortened([path.name for path in places])
    words = {word for path in places for word in re.findall(r"[^\W\d_]+", path.name.lower())}
    if len(places) > 1 and words and words <= NO_CLASSES:
        raise UserError(
            f"{folder}: {names}: folders of a detection or segmentation set, not of classes; expected <class>/<image>, "
            f"or {TABLE} with the columns path and label"
        )
    for place in places:
        _check_level(place, folder)
        if len(again := {path.name for path in folders_in(place)} & {path.name for path in places}) > 1:
            raise UserError(
                f"{printable(place)}: holds {shortened(sorted(again))}, which lie beside it as well; choose it as the "
                "folder, or move it away"
            )
    level, deeper = 1, places
    while below := _shared(deeper):
        inside = [path for place in deeper for path in folders_in(place)]
        level, shared = level + 1, below
        deeper = [path for path in inside if not path.is_symlink()]  # a link may lead to what it lies in
    if level > 1:
        raise UserError(
            f"{folder}: {names} have the same folders in them: {shortened(shared)}. Which are the classes? Say it by "
            f"`python -m augury init --images {printable(folder)} --class-level {level}` (the latter) or 1, or by "
            "prepare.class_level in params.yaml"
        )
    dated = all(DATE.fullmatch(path.name) for path in places)
    if len(places) > 1 and (dated or (words and words <= NO_CLASSES | PARTS)):
        raise UserError(
            f"{folder}: {names}: called like parts of a set, or dates, not like classes; expected <class>/<image>, or "
            f"{TABLE} with the columns path and label; if they are the classes, prepare.class_level: 1 "
            "(init: --class-level 1)"
        )
    return 1


def _shared(places: list[Path]) -> list[str]:
    """The names that folders in these folders share, in order; none where they look like what classes contain.

    That is where a folder has images of its own, or nothing in common with another one, or most names are not shared.
    """
    if len(places) < 2 or any(map(holds_images, places)):
        return []
    below = [{path.name for path in folders_in(place)} for place in places]
    counts = Counter(name for names in below for name in names)
    shared = {name for name, count in counts.items() if count > 1}
    alike = len(shared) > 1 and 2 * len(shared) >= len(counts) and all(names & shared for names in below)
    return sorted(shared) if alike else []


def _hint(only: list[Path]) -> str:
    """What to change where the classes lie in the only folder with images, as in an archive that was unpacked."""
    below = len(folders_in(only[0])) if len(only) == 1 else 0
    return f"; if its {below} folders are the classes, set prepare.folder: {printable(only[0])}" if below > 1 else ""


def _check_level(class_folder: Path, folder: Path) -> None:
    """Raise UserError where splits lie below a class: taken for one set, they would mix training and test images."""
    inner = {split_called(path.name): path for path in folders_in(class_folder)}
    if "train" in inner and len(set(inner) - {None}) > 1:
        wanted = folder / inner["train"].name / class_folder.name
        raise UserError(f"{printable(inner['train'])}: a split below a class; expected {printable(wanted)}")


def _check_same_classes(train: Path, expected: tuple[str, ...], folder: Path, present: tuple[str, ...]) -> None:
    for names, problem in (
        (set(present) - set(expected), f"class folders that {train} lacks"),
        (set(expected) - set(present), f"missing class folders that {train} has"),
    ):
        if names:
            raise UserError(f"{folder}: {problem}: {shortened(sorted(names))}")
