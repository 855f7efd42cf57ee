"""The imagefolder source: a folder per class, optionally below train, val (or validation) and test."""

import logging
from collections import Counter
from pathlib import Path

from augury.images.files import IMAGE_SUFFIXES, walk_images
from augury.images.folders import folders_in, is_foreign, kind
from augury.images.names import distinct_class_names, printable, shortened
from augury.pipeline.errors import UserError
from augury.pipeline.sections import Prepare
from augury.sources.listed_images import (
    KNOWN_SPLIT_NAMES,
    SPLIT_NAMES,
    ListedImage,
    Listing,
    check_folder,
    check_link,
    group_in,
    split_called,
)

log = logging.getLogger(__name__)


def list_imagefolder(prepare: Prepare) -> Listing:
    """`prepare.folder`/class/image.png, optionally with train, val (or validation) and test above the classes.

    Images may lie in further folders below their class. Raises UserError where a folder, class or image is missing
    or unreadable, or the splits differ in classes.
    """
    root = Path(prepare.folder)
    folders = _split_folders(root)
    listed = {split: _list_classes(folder, root) for split, folder in folders.items()}
    class_names = tuple(listed["train"])
    for split, classes in listed.items():
        _check_same_classes(folders["train"], class_names, folders[split], tuple(classes))
    if len(class_names) < 2:
        raise UserError(
            f"{folders['train']}: 1 class ({class_names[0]}), at least 2 are needed{_hint(folders['train'])}"
        )
    images = [
        ListedImage(split, label, str(path), path, file := path.relative_to(root).as_posix(), group_in(file, prepare))
        for split, classes in listed.items()
        for label, paths in enumerate(classes.values())
        for path in paths
    ]
    return Listing(images, class_names, root, len(images))


def _split_folders(root: Path) -> dict[str, Path]:
    """Split -> folder that holds its classes; only "train", the root itself, where there is no such level."""
    check_folder(root, f"{root}/<class>/<image>")
    if not (root / "train").is_dir() or not folders_in(root / "train"):
        return {"train": root}
    present = {path.name: path for path in folders_in(root)}
    split_folders = {}
    for split, names in SPLIT_NAMES.items():
        folders = [present.pop(name) for name in names if name in present]
        if len(folders) > 1:
            raise UserError(f"{root}: both {' and '.join(folder.name for folder in folders)}; keep one of them")
        if folders:
            split_folders[split] = folders[0]
    if present:
        log.warning("%s: ignored %s, beside train only %s are read", root, shortened([*present]), KNOWN_SPLIT_NAMES)
    return split_folders


def _list_classes(folder: Path, root: Path) -> dict[str, list[Path]]:
    """Class -> its image files, both in order of name."""
    subfolders = folders_in(folder)
    if not subfolders:
        raise UserError(f"{folder}: no class folders; expected {folder}/<class>/<image>")
    passed_over = [path for path in folder.iterdir() if is_foreign(path.name) or not path.is_dir()]
    classes = {}
    names = distinct_class_names([path.name for path in subfolders], str(folder))
    for name, subfolder in sorted(zip(names, subfolders, strict=True)):
        check_link(subfolder, root)
        _check_level(subfolder, folder)
        classes[name], others = walk_images(subfolder)
        passed_over += others
    if empty := [name for name, paths in classes.items() if not paths]:
        raise UserError(f"{folder}: no {', '.join(IMAGE_SUFFIXES)} file in class folder {shortened(empty)}")
    if passed_over:
        kinds = Counter(printable(kind(path)) for path in passed_over)
        counted = shortened([f"{count} {kind}" for kind, count in kinds.most_common()])
        log.warning("%s: passed over %d files that are not images of a class: %s", folder, len(passed_over), counted)
    return classes


def _hint(folder: Path) -> str:
    """What to change where the classes lie one level deeper, as in an archive that was unpacked into a folder."""
    (only,) = folders_in(folder)
    below = len(folders_in(only))
    return f"; if its {below} folders are the classes, set prepare.folder: {printable(only)}" if below > 1 else ""


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
