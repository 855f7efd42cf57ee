"""Put together the page and the numbers of the study: `python -m studies.latent.report`."""

from pathlib import Path

from augury.pipeline.outputs import read_json, write_csv, write_json
from studies.gains import about_test_images
from studies.latent import edit_sections, truncation_section, walk_sections
from studies.latent.settings import Latent
from studies.page import Page, few_images
from studies.workspace import ROOT, load_params, run

COLUMNS = ("spread", "n_per_side", "fd", "fd_floor", "precision", "precision_floor", "recall", "recall_floor")


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Latent, here, root)
    points, generators = here / "points", study.generators
    walks = {name: read_json(points / "walks" / name / "walks.json") for name in generators}
    truncation = {name: read_json(points / "truncation" / f"{name}.json") for name in generators}
    scored = truncation[generators[0]]
    spaces = {"extractor": scored["extractor"], "spaces": walk_sections.summary(walks, truncation)}
    edited = edit_sections.read_results(points, generators, top)
    write_json(here / "latent.json", spaces | edit_sections.summary(edited, study))
    rows = [
        [generator, *(row[column] for column in COLUMNS)]
        for generator, content in truncation.items()
        for row in content["spreads"]
    ]
    write_csv(here / "truncation.csv", ("generator", *COLUMNS), rows)
    page = Page(
        question="what do the latent spaces of the generators know?",
        answer=f"{walk_sections.answer(walks, truncation)}; {edit_sections.headline(edited, study)}",
        sentences=[*walk_sections.findings(walks, truncation), *edit_sections.findings(edited, study)],
        cautions=[*about_test_images(root), *few_images(scored["ways"]["ends"])],
        tables=walk_sections.overview(walks, truncation),
        protocol={
            "Latents": "As the generator draws them: z is standard normal with the DCGAN, from the prior of the class "
            "with the VAE; w is what StyleGAN-lite's mapping network makes of such a z and the class. Every latent "
            "has a seed of its own, of its class and place.",
            "Pictures": "The first latents of each class, not hand-picked.",
            "Real images": f"Those of the training and validation splits ({scored['extractor']} at "
            f"{scored['resolution']} pixels). The test split has no part in scores, boundaries or edits; only the "
            "classifier of the arms of latent augmentation is tested on it.",
            "Halfway": "As real as what is drawn: of images halfway between two latents of a class, a precision of at "
            f"least {100 * walk_sections.ENOUGH:.0f}% of that of the drawn ones.",
            "Intervals": "Of distances: bootstrap over images. Another training of the generators would add to all.",
        },
        sections=[
            *walk_sections.sections(points, walks),
            truncation_section.section(truncation, top.compare.confidence),
            *edit_sections.sections(edited, top, study),
        ],
    )
    page.write(here / "page")


if __name__ == "__main__":
    run("latent", main)
