"""Stores of files that are named by what they hold: links out of a folder of images may lead into these."""

from functools import lru_cache
from pathlib import Path


def in_a_store(link: Path, real: Path) -> bool:
    """Whether what `link` leads to lies in DVC's cache of this checkout, in Hugging Face's or in git-annex's."""
    return any(real.is_relative_to(store) for store in _stores(link.parent.resolve(), Path.cwd()))


@lru_cache(maxsize=4096)  # a set has many links in few folders
def _stores(folder: Path, here: Path) -> tuple[Path, ...]:
    """Those that links in `folder` may lead into, for a process that runs in `here`; links of their own followed."""
    from huggingface_hub import constants

    above = [folder, *folder.parents]
    stores = [each.parent / "blobs" for each in above if each.name == "snapshots"]
    # Set down by `huggingface-cli download --local-dir`, in its older versions.
    stores += Path(constants.HF_HUB_CACHE).glob("*--*/blobs")
    stores += [each / ".git" / "annex" / "objects" for each in above]
    checkout = next((each for each in (here, *here.parents) if (each / ".dvc").is_dir()), None)
    if checkout is not None:
        stores.append(_dvc_cache(checkout / ".dvc"))
    return tuple(store.resolve() for store in stores if store.is_dir())


def _dvc_cache(settings: Path) -> Path:
    """Where DVC keeps its files, as .dvc/config and the user's own settings say."""
    from dvc.config import Config, ConfigError

    try:
        chosen = Config(str(settings))["cache"].get("dir")
    except ConfigError:  # which `doctor` and every command of DVC's tell of
        chosen = None
    return Path(chosen) if chosen else settings / "cache"
