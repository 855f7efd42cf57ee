"""Files that are no images here: what they are, by their first bytes or their name, and what to do with them."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from augury.images.folders import is_foreign
from augury.images.names import shortened

HEAD = 512  # bytes by which a file is known
# Where its first bytes stand, what they are, and what it is.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (128, b"DICM", "DICOM"),
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyp", "a video"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "PSD"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"\x93NUMPY", "a NumPy array"),
    *((0, start, "IDX numbers") for start in (b"\0\0\x08\x01", b"\0\0\x08\x03")),
    *((0, b"\x80" + bytes([protocol]), "a pickle") for protocol in range(2, 6)),
    (0, b"PAR1", "Parquet"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of Office"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF", "PDF"),
    (0, b"version https://git-lfs", "a pointer of Git LFS"),
    (0, b"<svg", "SVG"),
    (0, b"<!DOCTYPE html", "a web page"),
    (0, b"<html", "a web page"),
)
READ = ("PNG", "JPEG", "GIF", "WebP", "TIFF")
# What is to be done with files, by their suffix, or what they are where they have none.
ADVICE = {
    **dict.fromkeys(
        (
            ".heic", ".heif", ".avif", ".dcm", ".dicom", ".ima", ".nii", ".mha", ".mhd", ".nrrd", ".svs", ".ndpi",
            ".mrxs", ".czi", ".lif", ".nd2", ".jp2", ".j2k", ".jxl", ".psd", ".exr", ".hdr", ".svg", ".dng", ".cr2",
            ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pdf", "DICOM", "HEIC", "AVIF", "JPEG 2000", "JPEG XL",
            "PSD", "OpenEXR", "SVG", "PDF",
        ),
        "convert to PNG or JPEG",
    ),
    **dict.fromkeys(
        (
            ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", "a ZIP archive", "a gzip archive",
            "a tar archive",
        ),
        "unpack",
    ),
    **dict.fromkeys(
        (".npy", ".npz", ".h5", ".hdf5", ".mat", ".pkl", ".pickle", ".pt", ".tfrecord", ".arrow", ".lmdb", ".mdb",
         "HDF5", "a NumPy array", "IDX numbers", "a pickle"),
        "write as image files, or as Parquet files",
    ),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", "a video"), "take images out"),
    **dict.fromkeys(
        (".json", ".jsonl", ".ndjson", ".xml", ".xls", ".xlsx", ".tsv", ".ods"),
        "are the labels there? Write them to labels.csv, with the columns path and label",
    ),
    "a pointer of Git LFS": "`git lfs pull` gets the images",
    **dict.fromkeys(READ, "give the suffix of the format"),
}  # fmt: skip


def format_of(head: bytes) -> str | None:
    """What a file is by its first HEAD bytes; None where that is not known."""
    text = head.lstrip().lower()
    for start, signature, name in SIGNATURES:
        if head[start:].startswith(signature) or (start == 0 and text.startswith(signature.lower())):
            return name
    return None


def instead(head: bytes) -> str:
    """What a file that no image could be read from is, to follow a reason; "" where that is not known."""
    name = format_of(head)
    if name == "TIFF":
        return " that Pillow knows, but another kind of TIFF: save it with 1 or 3 channels of 8 or 16 bits"
    if name is None or name in (*READ, "Parquet"):
        return ""
    return f", but {name}" + (f": {ADVICE[name]}" if name in ADVICE else "")


def kind(path: Path) -> str:
    """What a file that is passed over is counted as: "hidden", another program's name, its suffix, or its format."""
    if is_foreign(path.name):
        return "hidden" if path.name.startswith(".") else path.name
    suffix = re.sub(r"-\d+-of-\d+$", "", path.suffix.lower())  # train.tfrecord-00000-of-00004
    if suffix and not suffix[1:].isdecimal():  # as those of DICOM files are
        return suffix
    try:
        return (format_of(head_of(path)) if path.is_file() else None) or "no suffix"  # a pipe would be waited for
    except OSError:
        return "no suffix"


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)


def counted(paths: Iterable[Path], by_name: Collection[str] = ()) -> str:
    """Files by their kinds, such as "3 .heic, 1 .txt", and what to do with kinds that the set may be made of.

    by_name: names of files that are shown as they are.
    """
    kinds = Counter(path.name if path.name in by_name else kind(path) for path in paths)
    listed = shortened([f"{count} {name}" for name, count in kinds.most_common()])
    advice: dict[str, list[str]] = {}
    for name, _ in kinds.most_common():
        if name in ADVICE:
            advice.setdefault(ADVICE[name], []).append(name)
    return "; ".join([listed, *(f"{' and '.join(names)}: {what}" for what, names in advice.items())])
