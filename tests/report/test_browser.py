"""The report and its cost ledger in a real browser: scripts, keyboard, sizes, colours, and nothing from outside."""

import re
import shutil
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from augury.pipeline.outputs import write_json
from stages.report import main
from tests.browsing import WIDTHS, Visit, needs_chromium
from tests.report.test_page import build_data, params_for, trials_of

pytestmark = needs_chromium

ARMS = {
    "none": 0.80, "classic": 0.83, "again": 0.83, "placebo": 0.832, "classic+vae": 0.88, "classic+dcgan": 0.79,
    "classic+more_real": 0.88,
}  # fmt: skip
GENERATORS = ("dcgan", "vae")
LEDGER = "iframe.ledger"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/report as the stage leaves it, of invented results."""
    root = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        build_data(arms=ARMS, generators=GENERATORS, trials=trials_of(4), replicates=3)
        for place, stage in enumerate(["train_vae@0", "sample@0-vae", *(f"classify@0-{arm}" for arm in ARMS)]):
            content = {"stage": stage, "seconds": 12.5 * (place + 1), "images": 4000, "peak_memory_mib": 900 - place}
            write_json(Path("data/costs") / f"{stage}.json", content)
        main(params_for(GENERATORS, ARMS))
    return root / "data" / "report"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def open_report(page: Page, folder: Path) -> Visit:
    """The report, with its ledger shown."""
    visit = Visit(page, (folder / "index.html").as_uri())
    page.wait_for_selector(f"{LEDGER}.shown", state="visible")
    return visit


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")


def column(page: Page, table: int, place: int) -> list[list[str]]:
    """The values by which a column sorts, one list for each group of rows."""
    return page.evaluate(
        """([table, place]) => [...document.querySelectorAll("table.sortable")[table].tBodies].map((body) =>
            [...body.rows].filter((row) => !row.classList.contains("group"))
                .map((row) => row.cells[place].dataset.value))""",
        [table, place],
    )


def in_order(values: list[str], numeric: bool, descending: bool) -> bool:
    known = [value for value in values if value != ""]
    if values[: len(known)] != known:  # what has no value comes last
        return False
    if numeric:
        numbers = [float(value) for value in known]
        return numbers == sorted(numbers, reverse=descending)
    return [value.lower() for value in known] == sorted((value.lower() for value in known), reverse=descending)


@pytest.mark.parametrize("name", ["index.html", "costs.html"])
def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(page: Page, folder: Path, name: str) -> None:
    if name == "index.html":
        visit = open_report(page, folder)
        assert (folder / "costs.html").as_uri() in visit.requests
    else:
        visit = Visit(page, (folder / name).as_uri())
    visit.check()


@pytest.mark.parametrize(("name", "tables"), [("index.html", 3), ("costs.html", 2)])
def test_every_sortable_table_sorts_by_mouse_and_by_keyboard(page: Page, folder: Path, name: str, tables: int) -> None:
    visit = Visit(page, (folder / name).as_uri())
    assert page.locator("table.sortable").count() == tables
    unfold(page)
    for table in range(tables):
        headers = page.locator("table.sortable").nth(table).locator("th[data-sort]")
        assert headers.count() > 3
        before = sorted(chain.from_iterable(column(page, table, 0)))
        for place in range(headers.count()):
            header = headers.nth(place)
            index = header.evaluate("(cell) => cell.cellIndex")
            numeric = header.get_attribute("data-sort") == "number"
            assert header.get_attribute("aria-sort") == "none"
            button = header.get_by_role("button")
            # Numbers start with the largest, words with the first; then it is the other way round.
            button.click()
            for descending in (numeric, not numeric):
                assert header.get_attribute("aria-sort") == ("descending" if descending else "ascending")
                assert all(in_order(values, numeric, descending) for values in column(page, table, index))
                assert headers.locator("xpath=self::th[@aria-sort != 'none']").count() == 1
                button.press("Enter" if descending == numeric else "Space")
        assert sorted(chain.from_iterable(column(page, table, 0))) == before  # every row is still there
        groups = page.locator("table.sortable").nth(table).locator("tr.group")
        for group in range(groups.count()):
            assert groups.nth(group).evaluate("(row) => row === row.parentElement.rows[0]")
    visit.check()


def test_the_ledger_shows_in_place_as_tall_as_it_is(page: Page, folder: Path) -> None:
    open_report(page, folder)
    frame = page.frame_locator(LEDGER)
    frame.locator("summary").click()
    page.locator(LEDGER).scroll_into_view_if_needed()
    assert frame.get_by_role("table").count() == 2
    assert frame.get_by_text("train_vae").first.is_visible()
    assert not frame.get_by_role("heading", level=1).is_visible()  # the report around it has the title
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.locator(LEDGER).scroll_into_view_if_needed()  # out of sight, a frame is not laid out anew at once
        eventually(page, lambda: abs(frame_height(page) - ledger_height(page)) < 2)
    assert not page.locator("#costs .absent").is_visible()
    assert page.locator('#costs a[href="costs.html"]').is_visible()


def eventually(page: Page, holds: Callable[[], bool]) -> None:
    """Wait for up to five seconds. Playwright's own wait evaluates text, which the page's policy forbids."""
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("waited for five seconds in vain")


def frame_height(page: Page) -> float:
    return page.locator(LEDGER).evaluate("(frame) => frame.clientHeight")


def ledger_height(page: Page) -> float:
    """Pixels that the ledger needs at the present width."""
    inside = page.frames[1]
    return inside.evaluate("Math.ceil(document.body.getBoundingClientRect().height)")


def test_on_paper_the_frame_is_as_tall_as_the_ledger_there(page: Page, folder: Path) -> None:
    open_report(page, folder)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less a centimetre on each side, at 96 dots an inch
    page.locator(LEDGER).scroll_into_view_if_needed()
    assert frame_height(page) >= ledger_height(page) > 300


def test_a_copy_of_the_report_alone_says_where_the_costs_are(page: Page, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "index.html", tmp_path)
    visit = Visit(page, (tmp_path / "index.html").as_uri())
    page.wait_for_load_state("load")
    visit.check()
    assert not page.locator(LEDGER).is_visible()
    assert frame_height(page) == 0
    assert "It stays on the machine where the run took place" in page.locator("#costs").inner_text()
    assert page.locator('#costs a[href="costs.html"]').is_visible()


def test_without_scripts_the_link_to_the_costs_remains(browser: Browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    assert not page.locator(LEDGER).is_visible()
    page.locator('#costs a[href="costs.html"]').click()
    assert page.get_by_role("heading", level=1).inner_text() == "What it cost"
    context.close()


def test_messages_of_others_do_not_open_the_frame(page: Page, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "index.html", tmp_path)
    Visit(page, (tmp_path / "index.html").as_uri())
    page.evaluate("window.postMessage({height: 500, printed: 500}, '*')")
    page.wait_for_timeout(100)
    assert page.locator(f"{LEDGER}.shown").count() == 0


@pytest.mark.parametrize("name", ["index.html", "costs.html"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen(page: Page, folder: Path, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    visit = open_report(page, folder) if name == "index.html" else Visit(page, (folder / name).as_uri())
    for frame in page.frames:
        assert frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    visit.check()


def test_the_first_screen_is_the_answer_its_controls_and_what_would_make_it_surer(page: Page, folder: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    open_report(page, folder)
    bottoms = page.locator("h1, .holds, .trust h2, .trust li, .trust figure, .trust p").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) > 8
    assert max(bottoms) <= 800
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.locator(".holds").evaluate("(one) => one.getBoundingClientRect().bottom") <= 800


def test_the_right_half_of_a_wide_screen_is_used_by_every_section(page: Page, folder: Path) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    open_report(page, folder)
    reach = page.locator("section").evaluate_all(
        """(all) => all.map((one) => [one.id, Math.max(...[...one.querySelectorAll("p, td, figure, li, dd, iframe")]
            .filter((part) => part.checkVisibility()).map((part) => part.getBoundingClientRect().right))])"""
    )
    folded = {"confusions"}  # a line
    assert {name for name, right in reach if right < 900} <= folded


@pytest.mark.parametrize("width", [1280, 390])
def test_each_gain_is_drawn_beside_its_numbers_or_on_a_phone_below_them(page: Page, folder: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_report(page, folder)
    rows = page.locator("table.arms tbody tr:has(.bar)").evaluate_all(
        """(all) => all.map((row) => [row, row.querySelector(".bar"), row.cells[2].firstChild].map((part) => {
            const range = document.createRange();
            range.selectNode(part);
            const {left, right, top, bottom} = range.getBoundingClientRect();
            return {left, right, top, bottom};
        }))"""
    )
    assert len(rows) == len(ARMS) - 1
    for row, bar, number in rows:
        assert row["top"] - 1 <= bar["top"] < bar["bottom"] <= row["bottom"] + 1
        assert bar["left"] >= number["right"] if width > 1000 else bar["top"] >= number["bottom"]
        assert bar["right"] - bar["left"] > 250
    zeros = page.locator(".bar .zero").evaluate_all("(all) => all.map((one) => one.getBoundingClientRect().left)")
    assert max(zeros) - min(zeros) < 1  # one axis for all


def test_on_a_phone_the_first_column_leaves_room_for_the_others(page: Page, folder: Path) -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    open_report(page, folder)
    widths = page.evaluate(
        """[...document.querySelectorAll(".scroll table:not(.confusion) tbody tr:not(.group) .first")]
            .map((cell) => cell.getBoundingClientRect().width).filter((width) => width)"""
    )
    assert len(widths) > 20
    assert max(widths) < 160


def test_every_picture_has_a_text_and_every_region_a_name(page: Page, folder: Path) -> None:
    open_report(page, folder)
    texts = page.locator("img").evaluate_all("(images) => images.map((image) => image.alt)")
    assert len(texts) > 10
    assert all(texts)
    assert len(set(texts)) == len(texts)
    regions = page.locator(".scroll, [role=img], iframe, section").evaluate_all(
        """(all) => all.map((one) => one.ariaLabel || one.title
            || document.getElementById(one.getAttribute("aria-labelledby"))?.textContent)"""
    )
    assert all(regions)


def luminance(color: str) -> float:
    """Of "rgb(r, g, b)", between 0 and 1 (WCAG 2, relative luminance)."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_follow_the_scheme_and_can_be_read(page: Page, folder: Path) -> None:
    visit = open_report(page, folder)
    paper = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for frame in page.frames:
            ground = frame.evaluate("getComputedStyle(document.body).backgroundColor")
            paper[scheme, frame is page.main_frame] = luminance(ground)
            links = ("nav a",) if frame is page.main_frame else ()
            for selector in ("body", ".muted", ".note", ".verdict.helps", ".verdict.hurts", *links):
                ink = luminance(frame.locator(selector).first.evaluate("(one) => getComputedStyle(one).color"))
                lighter, darker = max(ink, luminance(ground)), min(ink, luminance(ground))
                assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (scheme, selector)
    assert paper["light", True] == paper["light", False] > 0.9
    assert paper["dark", True] == paper["dark", False] < 0.1
    visit.check()


@pytest.mark.parametrize("name", ["index.html", "costs.html"])
def test_headings_are_in_order_and_the_first_key_leads_to_the_content(page: Page, folder: Path, name: str) -> None:
    Visit(page, (folder / name).as_uri())
    levels = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all("(all) => all.map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0  # seen, once it is reached
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "MAIN"


def test_wide_tables_can_be_scrolled_by_keyboard(page: Page, folder: Path) -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    open_report(page, folder)
    region = page.get_by_role("region", name="Table of arms", exact=True)
    assert region.evaluate("(one) => one.scrollWidth > one.clientWidth")
    region.focus()
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: region.evaluate("(one) => one.scrollLeft > 0"))
