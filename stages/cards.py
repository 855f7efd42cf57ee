"""cards: what has to be said about each generator and its synthetic set, ready to go along with them.

Reads: what the stages before left about every generator.
Writes: data/cards/models/<generator>.md, data/cards/datasets/<generator>.md.
"""

from pathlib import Path

from augury.evidence.results import Results
from augury.export.cards import dataset_card, model_card
from augury.pipeline.outputs import whole_directory
from augury.pipeline.params import Params
from augury.pipeline.stage import run


def main(params: Params) -> None:
    results = Results()
    splits = results.splits()
    with whole_directory(Path("data/cards")) as partial:
        for generator in params.sample.generators:
            classes = results.selection(generator)["classes"]
            texts = {
                "models": model_card(params, generator, results),
                "datasets": dataset_card(
                    params,
                    origin=generator,
                    class_names=splits["class_names"],
                    counts=[classes[name]["kept"] for name in splits["class_names"]],
                    image_size=splits["image_size"],
                    channels=splits["channels"],
                    layout="parquet",
                    data_files="*.parquet",
                    results=results,
                ),
            }
            for kind, text in texts.items():
                (partial / kind).mkdir(exist_ok=True)
                (partial / kind / f"{generator}.md").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run("cards", main)
