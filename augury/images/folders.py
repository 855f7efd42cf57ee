"""What lies in a folder, without what other programs keep there: thumbnails, rubbish bins, hidden files."""

import os
from pathlib import Path

# Folders and files of file servers, operating systems and archivers, in lower case. Those of Synology, QNAP and NetApp
# hold a small copy of every image, or older ones.
FOREIGN_NAMES = frozenset(
    (
        "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "@tmp", "~snapshot",
        "lost+found", "$recycle.bin", "system volume information", "found.000", "thumbs.db", "ehthumbs.db",
        "desktop.ini", "icon\r", "__macosx", "network trash folder", "temporary items",
    )
)  # fmt: skip


def is_foreign(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or another program's, and holds no image of the set."""
    return name.startswith(".") or name.lower() in FOREIGN_NAMES


def folders_in(folder: Path) -> list[Path]:
    """In order of name."""
    with os.scandir(folder) as entries:  # they know which are files, without a look at each
        paths = [folder / entry.name for entry in entries if not entry.is_file(follow_symlinks=False)]
    return sorted(path for path in paths if path.is_dir() and not is_foreign(path.name))


def files_in(folder: Path, suffix: str, *, below: bool = False) -> list[Path]:
    """What has a suffix, in either case, be it a file, a link or a folder; in order of name; none without the folder.

    below: in folders below it too.
    """
    if not folder.is_dir():
        return []
    paths = folder.rglob("*") if below else folder.iterdir()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() == suffix and not any(map(is_foreign, path.relative_to(folder).parts))
    )
