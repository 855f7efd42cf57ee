"""What splits are called, in folders, files and tables alike."""

import re
from collections.abc import Iterable

# Those of Hugging Face's `datasets`, and holdout.
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation", "holdout"),
}
KNOWN_SPLIT_NAMES = ", ".join(words[0] for words in SPLIT_WORDS.values())
# What may stand beside such a word, or at its end: training_set, test images, valdata.
FILLERS = ("set", "data", "dataset", "split", "images", "image", "imgs", "img", "files", "samples", "folder")
GLUED = re.compile(
    rf"({'|'.join(sorted(sum(SPLIT_WORDS.values(), ()), key=len, reverse=True))})(?:{'|'.join(FILLERS)})?"
)


def split_called(name: str) -> str | None:
    """The split that goes by a name, however it is spelled: train, validation or test; None where none does."""
    split, rest = split_and_rest(name)
    return None if rest else split


def first_split(names: Iterable[str]) -> str | None:
    """The split that goes by the first of the names by which one goes, as of the folders above a file."""
    return next((split for split in map(split_called, names) if split is not None), None)


def split_and_rest(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The split that a name has in it, and its other words, without numbers: ("train", ("seg",)) of Seg_train2017."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?i)hold[-_ ]out", "holdout", name).lower())
    spelled = [match[1] for word in words if (match := GLUED.fullmatch(word))]
    splits = [split for word in spelled for split, called in SPLIT_WORDS.items() if word in called]
    rest = tuple(word for word in words if not GLUED.fullmatch(word) and word not in FILLERS)
    return (splits[0] if len(splits) == 1 else None), rest
