"""Names that come from outside: on one line of a message, as names of classes, and of folders on any system."""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from augury.pipeline.errors import UserError

LISTED_NAMES = 20  # at most, in a message
MOST_BYTES = 255  # of a folder's name in UTF-8, on ext4, APFS, NTFS and others
# What tables and the programs that write them put where there is no label.
MISSING = ("nan", "null", "n/a", "<na>", "#n/a", "?", "-", "undefined")
SEVERAL = re.compile(r"\S[|;]\s*\S|^[\[{]")  # cat|dog, and the lists of labels that JSON has
SEPARATORS = '/\\:*?"<>|'
# Control characters, invisible ones (which some systems ignore), halves of characters, unassigned ones, line breaks.
UNSAFE_CATEGORIES = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
# What Windows takes for a device, whatever follows the first dot.
DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def printable(name: object) -> str:
    """A name from outside on one line of valid text: line breaks, other control characters and lone bytes escaped."""
    return "".join(
        character if unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") else ascii(character)[1:-1]
        for character in str(name)
    )


def shortened(names: Sequence[str], most: int = LISTED_NAMES) -> str:
    """Names in a message, the first `most` of them."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def counted(names: Sequence[str], counts: Iterable[int]) -> str:
    """Class names with how many images each has: "cat 110, dog 1,016", as many of them as `shortened` shows."""
    return shortened([f"{name} {count:,}" for name, count in zip(names, counts, strict=True)])


def class_name(name: str, where: str) -> str:
    """A class name in Unicode's composed form, so that one spelling is one class on every system.

    Raises UserError where it is empty, or holds control characters or bytes that are no text; where: who says so.
    """
    composed = unicodedata.normalize("NFC", name)
    if not composed.strip():
        raise UserError(f"{where}: a class without a name")
    if composed != printable(composed):
        unusual = "line breaks, control characters or undecodable bytes"
        raise UserError(f"{where}: class name '{printable(name)}' holds {unusual}; rename it")
    return composed


def distinct_class_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Class names as `class_name` has them. Raises UserError where two are the same, as far as the eye can tell."""
    composed = [class_name(name, where) for name in names]
    if twins := [name for name, count in Counter(composed).items() if count > 1]:
        raise UserError(f"{where}: several classes are called {twins[0]}; rename or merge them")
    return tuple(composed)


def doubtful_names(names: Sequence[str]) -> list[str]:
    """What to ask about class names, a few words each: which may be one class written in two ways, and which none."""
    alike = defaultdict(list)
    for name in names:
        alike[_as_people_read(name)].append(f"'{name}'")
    asked = [f"{' and '.join(group)} look alike: are they one class?" for group in alike.values() if len(group) > 1]
    missing = [f"'{name}'" for name in names if name.casefold() in MISSING]
    if missing:
        asked.append(f"{' and '.join(missing)} may stand for a missing label: is it a class?")
    if several := [name for name in names if SEVERAL.search(name)]:
        asked.append(f"'{several[0]}' may be several labels of one image, each of which is to have one")
    return asked


def _as_people_read(name: str) -> str:
    """Equal for names that differ in case, in spaces, - and _, in what cannot be seen, or as numbers are written."""
    seen = "".join(each for each in unicodedata.normalize("NFKC", name) if unicodedata.category(each) != "Cf")
    words = " ".join(re.split(r"[\s_-]+", seen.casefold())).strip()
    return f"{float(words):.15g}" if re.fullmatch(r"\d+(\.\d+)?", words, re.ASCII) else words


def safe_names(names: Sequence[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Class name -> name of its folder; plain names stay as they are. taken: names that no folder may get.

    A folder's name is of at most 255 bytes and has no separator, control character, dot or space at its ends. No two
    are equal, nor the same but for case or the way in which accents are written. Where names would be, all but a plain
    one end in ~ and some digits of their own hash, so that the result does not depend on the order.
    Raises ValueError where a name is there twice.
    """
    if len(set(names)) < len(names):
        raise ValueError("a name is there twice")
    digits = dict.fromkeys(names, 0)  # of the hash at the end
    reserved = {_as_systems_compare(name) for name in taken}
    while True:
        safe = {name: _marked(_readable(name), name, digits[name]) for name in names}
        groups = defaultdict(list)
        for name in names:
            groups[_as_systems_compare(safe[name])].append(name)
        clashes = [key for key, group in groups.items() if len(group) > 1 or key in reserved]
        if not clashes:
            return safe
        for key in clashes:
            plain = [name for name in groups[key] if safe[name] == name and key not in reserved]
            for name in _to_be_marked(groups[key], plain, digits):
                digits[name] += 8


def _readable(name: str) -> str:
    """`name` without what no folder may be called; different names may come out the same."""
    characters = unicodedata.normalize("NFC", name)
    text = "".join(
        "_" if character in SEPARATORS or unicodedata.category(character) in UNSAFE_CATEGORIES else character
        for character in characters
    )
    text = re.sub(r"^[\s.]+|[\s.]+$", "", text)  # "..", hidden folders, and the ends that Windows drops
    text = re.sub(r"^_{2,}", "_", text)  # Hugging Face's loaders overlook folders that begin with two
    if DEVICE.match(text):
        text = f"_{text}"
    return text or "unnamed"


def _marked(readable: str, name: str, digits: int) -> str:
    """`readable` with so many digits of the hash of `name` at its end; at least 8 where it is too long and is cut."""
    if len(readable.encode()) > MOST_BYTES:
        digits = max(digits, 8)
    if digits == 0:
        return readable
    mark = "~" + hashlib.shake_256(name.encode("utf-8", "surrogatepass")).hexdigest(digits // 2)
    return readable.encode()[: MOST_BYTES - len(mark)].decode(errors="ignore") + mark


def _as_systems_compare(name: str) -> str:
    """Equal for names that some file system takes for one: cases and spellings of accents do not count."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).upper().casefold())


def _to_be_marked(group: Sequence[str], plain: Sequence[str], digits: dict[str, int]) -> list[str]:
    """Which of the names that clash get (more) digits: not the only plain one, if that is enough."""
    unmarked = [name for name in group if digits[name] == 0]
    if len(plain) == 1 and len(unmarked) > 1:
        return [name for name in unmarked if name not in plain]
    return unmarked or list(group)
