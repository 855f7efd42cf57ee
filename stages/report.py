"""report: every result as one page that can be read offline; its first sentence answers the question.

Beside it, and shown in it, stands the cost ledger: a page of its own, because times differ from run to run.
"""

from pathlib import Path

from augury.evidence.results import Results
from augury.pipeline.openings import openings
from augury.pipeline.outputs import whole_directory
from augury.pipeline.params import Params
from augury.pipeline.stage import run
from augury.report.contents import Contents


def main(params: Params) -> None:
    results = Results()
    contents = Contents(params, results)
    looks = openings(contents.splits["digests"]["test"])
    # .dvcignore names costs.html.
    pages = {"index.html": contents.page(), "costs.html": contents.ledger(results.costs(), looks)}
    with whole_directory(Path("data/report")) as partial:
        for name, text in pages.items():
            (partial / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run("report", main)
