"""List what lies in prepare.folder, so that `prepare` runs again when any of it has changed. Runs every time.

Reads: the folder. Writes: data/manifest.json.
"""

import logging

from augury.pipeline.params import Params
from augury.pipeline.preparing import FOLDER_SOURCES
from augury.pipeline.stage import run
from augury.sources.manifest import write_manifest

log = logging.getLogger(__name__)


def main(params: Params) -> int:
    """The number of files. Raises UserError where the folder is not there, is empty or holds data/."""
    files = write_manifest(params.prepare)
    where = params.prepare.folder if params.prepare.source in FOLDER_SOURCES else params.prepare.source
    log.info("%s: %d files", where, len(files))
    return len(files)


if __name__ == "__main__":
    run("manifest", main)
