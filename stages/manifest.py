"""List what lies in prepare.folder, so that `prepare` runs again when any of it has changed. Runs every time.

Reads: the folder. Writes: data/manifest.json.
"""

import logging

from augury.pipeline.params import Params
from augury.pipeline.stage import run
from augury.sources.manifest import write_manifest

log = logging.getLogger(__name__)


def main(params: Params) -> int:
    """The number of files. Raises UserError where the folder holds data/."""
    files = write_manifest(params.prepare)
    log.info("%s: %d files", params.prepare.folder, len(files))
    return len(files)


if __name__ == "__main__":
    run("manifest", main)
