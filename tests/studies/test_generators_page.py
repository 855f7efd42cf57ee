"""The page of the study of generators in a real browser: sizes, complaints, and nothing from outside."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from augury.pipeline import params
from augury.pipeline.outputs import write_json
from augury.pipeline.params import PARAMS_FILE
from studies.generators import report
from tests import CHECKOUT
from tests.browsing import Visit, needs_chromium
from tests.smoke import change_params
from tests.studies.made_up import write_summary
from tests.studies.test_generators_study import SEEDS, STUDY, point, training, write_points

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of invented results."""
    root, here = (tmp_path_factory.mktemp(name) for name in ("root", "here"))
    shutil.copy2(CHECKOUT / PARAMS_FILE, root)
    change_params(root, {"compare": {"resamples": 1000}, "classify": {"seeds": SEEDS}})
    points = {
        name: point(name, training(200 + 10 * place, 0.82), training(210 + 10 * place, 0.83))
        for place, name in enumerate(("dcgan", "dcgan_no_diffaugment", "stylegan", "no_mapping", "ada"))
    }
    write_json(here / PARAMS_FILE, STUDY | {"variants": list(points)})
    write_points(here, points, list(params.load(root / PARAMS_FILE).sample.generators))
    write_summary(root)
    report.main(here, root)
    return here / "page"


@pytest.mark.parametrize("width", [320, 768, 1280])
@pytest.mark.parametrize("name", ["index.html", "costs.html"])
def test_the_page_fits_and_asks_for_nothing(browser: Browser, folder: Path, name: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    visit = Visit(page, (folder / name).as_uri())
    visit.check()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    context.close()
