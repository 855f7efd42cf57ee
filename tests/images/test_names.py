"""Class names as names of folders."""

import os
import unicodedata
from pathlib import Path, PureWindowsPath
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from augury.images.names import MOST_BYTES, SEPARATORS, class_name, distinct_class_names, doubtful_names, safe_names
from augury.pipeline.errors import UserError


def safe(name: str) -> str:
    return safe_names([name])[name]


@pytest.mark.parametrize(
    "name",
    [
        "cat", "Ankle boot", "T-shirt", "0", "a.b", "no_entry", "-rf", "~", "100%", "naïve", "日本語", "Ω", "🐈", "_",
        "_private", "conifer", "com", "COM10", "console.log", "x" * 255, "é" * 127,
    ],
)  # fmt: skip
def test_plain_names_stay(name: str) -> None:
    assert safe(name) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T-shirt/top", "T-shirt_top"),
        ("/etc/passwd", "_etc_passwd"),
        ("..\\..\\windows", "_.._windows"),
        ("../../etc", "_.._etc"),
        ("..", "unnamed"),
        (".", "unnamed"),
        ("", "unnamed"),
        ("   ", "unnamed"),
        (".hidden", "hidden"),
        (" cat. ", "cat"),
        ("cat\u3000", "cat"),
        ("C:", "C_"),
        ('a*b?c"d<e>f|g', "a_b_c_d_e_f_g"),
        ("file:stream", "file_stream"),
        ("a\nb\tc\x00d\x7fe\x85f\u2028g", "a_b_c_d_e_f_g"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("c\u200bat", "c_at"),
        ("\ud800lone", "_lone"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Com1", "_Com1"),
        ("LPT³", "_LPT³"),
        ("aux .png", "_aux .png"),
        ("__background__", "_background__"),
        ("cafe\u0301", "café"),
    ],
)
def test_what_no_folder_can_be_called_is_changed_and_can_still_be_read(name: str, expected: str) -> None:
    assert safe(name) == expected


def test_a_name_that_is_too_long_is_cut_between_characters_and_told_apart() -> None:
    names = ["é" * 200 + end for end in ("a", "b")]
    cut = safe_names(names)
    assert len(set(cut.values())) == 2
    for name in cut.values():
        assert name.startswith("é" * 120)
        assert len(name.encode()) <= MOST_BYTES


@pytest.mark.parametrize(
    "twins",
    [
        ("Cat", "cat", "CAT"),
        ("café", "cafe\u0301"),
        ("Straße", "STRASSE", "strasse"),
        ("ſea", "sea", "SEA"),
        ("a/b", "a\\b", "a:b"),
        (".", "..", "", " "),
        ("K", "\u212a", "k"),  # Kelvin
    ],
)
def test_names_that_some_system_takes_for_one_are_told_apart(twins: tuple[str, ...]) -> None:
    names = [*twins, "other"]
    found = safe_names(names)
    folded = {unicodedata.normalize("NFD", name).upper().casefold() for name in found.values()}
    assert len(folded) == len(names)
    assert found["other"] == "other"
    assert found == safe_names(names[::-1])  # whatever the order


def test_the_only_plain_one_of_several_keeps_its_name() -> None:
    found = safe_names(["cat", ".cat", "cat."])
    assert found["cat"] == "cat"
    assert all(found[name].startswith("cat~") for name in (".cat", "cat."))


def test_a_name_that_mimics_the_mark_of_another_gets_one_of_its_own() -> None:
    marked = safe_names(["Cat", "cat"])["cat"]
    found = safe_names(["Cat", "cat", marked])
    assert found["cat"] == marked
    assert len(set(found.values())) == 3
    assert safe_names([marked]) == {marked: marked}


def test_names_that_are_taken_are_left_to_their_owners() -> None:
    found = safe_names(["README.md", "readme.MD", "cat"], taken=("README.md",))
    assert found["cat"] == "cat"
    assert [name.lower().startswith("readme.md~") for name in found.values()] == [True, True, False]


def test_a_name_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        safe_names(["cat", "dog", "cat"])


any_name = st.text(max_size=40) | st.text(
    st.sampled_from([*SEPARATORS, ".", " ", "~", "_", "a", "A", "é", "e", "\u0301", "\0"])
)
long_name = st.text(st.sampled_from("aé日🐈. /"), min_size=200, max_size=400)


@given(st.lists(any_name | long_name | st.sampled_from(["CON", "con", "..", "", "~"]), unique=True, max_size=12))
@example(["/", "\\", ":", "_", "__"])
def test_any_names_become_distinct_folders_inside(names: list[str]) -> None:
    found = safe_names(names)
    assert list(found) == names
    root = Path("/root/set")
    compared = set()
    for name in found.values():
        assert Path(os.path.normpath(root / name)) == root / name
        assert (root / name).parent == root
        assert PureWindowsPath(name).parts == (name,)
        assert 0 < len(name.encode()) <= MOST_BYTES
        assert not set(name) & set(SEPARATORS)
        assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name)
        assert name == name.strip().strip(".")
        assert unicodedata.is_normalized("NFC", name)
        compared.add(unicodedata.normalize("NFD", name).casefold())
    assert len(compared) == len(names)
    # Once exported, a set has names that stay.
    again = safe_names(list(found.values()))
    assert all(name == kept for name, kept in again.items())


@given(st.lists(any_name, unique=True, min_size=2, max_size=6), st.randoms())
def test_the_order_of_the_names_does_not_matter(names: list[str], random: Random) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)
    assert safe_names(shuffled) == safe_names(names)


@given(st.lists(any_name, unique=True, max_size=6))
def test_any_system_makes_the_folders(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("set")
    found = safe_names(names)
    for name in found.values():
        (folder / name).mkdir()
    assert sorted(path.name for path in folder.iterdir()) == sorted(found.values())


def test_one_spelling_is_one_class() -> None:
    assert class_name("cafe\u0301", "labels.csv:3") == "caf\u00e9"
    with pytest.raises(UserError, match=r"^photos: several classes are called caf\u00e9; rename or merge them$"):
        distinct_class_names(["caf\u00e9", "dog", "cafe\u0301"], "photos")


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (["1", "1.0", "2"], ["'1' and '1.0' look alike: are they one class?"]),
        (["01", "1", "10"], ["'01' and '1' look alike: are they one class?"]),
        (["Cat", "cat", "dog"], ["'Cat' and 'cat' look alike: are they one class?"]),
        (["hot dog", "hot_dog", "hotdog"], ["'hot dog' and 'hot_dog' look alike: are they one class?"]),
        (["cat ", " cat", "dog"], ["'cat ' and ' cat' look alike: are they one class?"]),
        (["cat", "nan"], ["'nan' may stand for a missing label: is it a class?"]),
        (
            ["NaN", "nan", "cat"],
            [
                "'NaN' and 'nan' look alike: are they one class?",
                "'NaN' and 'nan' may stand for a missing label: is it a class?",
            ],
        ),
    ],
)
def test_names_that_may_be_one_class_or_none_are_asked_about(names: list[str], asked: list[str]) -> None:
    assert doubtful_names(names) == asked


@pytest.mark.parametrize("twin", ["cat\u200b", "cat\u00a0", "\ufeffcat", "\uff43at", "c\u00adat"])
def test_names_that_look_the_same_are_asked_about(twin: str) -> None:
    assert doubtful_names(["cat", "dog", twin]) == [f"'cat' and '{twin}' look alike: are they one class?"]


@pytest.mark.parametrize("name", ["cat|dog", "cat; dog", '{"choices":["cat","dog"]}', "['cat', 'dog']"])
def test_several_labels_in_one_are_asked_about(name: str) -> None:
    assert doubtful_names(["cat", name]) == [
        f"'{name}' may be several labels of one image, each of which is to have one"
    ]


@pytest.mark.parametrize(
    "names",
    [["cat", "dog"], ["0", "1", "10"], ["cat, small", "|", "a;"], ["1e3", "1000"], ["a1", "a01"], ["none", "na"]],
)
def test_plain_names_raise_no_question(names: list[str]) -> None:
    assert doubtful_names(names) == []
