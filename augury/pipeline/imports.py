"""Which files of this checkout a file imports: what DVC does not follow, and what a checkpoint depends on."""

import ast
from pathlib import Path

from augury.pipeline.checkout import CHECKOUT


def imported_files(path: Path, checkout: Path = CHECKOUT) -> set[Path]:
    """The first-party files that `path` imports, directly or not, those imported within functions too.

    path, and what is returned: relative to the checkout. Of the packages on the way, only those are among them from
    which a name is imported.
    """
    imported: set[Path] = set()
    pending = [path]
    while pending:
        for file in directly_imported(pending.pop(), checkout) - imported:
            imported.add(file)
            pending.append(file)
    return imported


def directly_imported(path: Path, checkout: Path = CHECKOUT) -> set[Path]:
    """The first-party files that `path` itself imports, paths as in `imported_files`."""
    tree = ast.parse((checkout / path).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {file for name in names if (file := _module_file(name, checkout))}


def _module_file(name: str, checkout: Path) -> Path | None:
    """The file of a first-party module; None for others."""
    path = Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if (checkout / candidate).is_file():
            return candidate
    return None
