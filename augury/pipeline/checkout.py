"""Which checkout a command works in: the one that it is started in, not the one that its code lies in."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]  # of this code


def checkout_above(folder: Path) -> Path | None:
    """The nearest checkout that `folder` is or lies in; a study has a params.yaml too, but no repository."""
    folders = (folder, *folder.parents)
    return next((each for each in folders if (each / ".dvc").is_dir() and (each / "params.yaml").is_file()), None)


def where_to_start(folder: Path) -> str:
    """For a message: the checkout around `folder`, or the one that is installed."""
    checkout = checkout_above(folder)
    return f"run this in a checkout, such as {CHECKOUT}" if checkout is None else f"run this in {checkout}"
