"""The page as a reader meets it: in a browser, with a mouse, a finger and keys."""

import re
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from wdjax.report import page

from .conftest import DECAYS, GONE, write_result, write_study

SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"
LAPTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study with two maps."""
    where = write_result(tmp_path_factory.mktemp("page") / "results")
    write_result(where, "sweep.sgdw.nc", method="SGDW", decays=DECAYS / 100)
    write_study(where)
    page.write(where)
    return where


@pytest.fixture
def visit(chromium, folder):
    """Opens the page, and fails at the end if the browser complained."""
    complaints, contexts = [], []

    def opened(**options):
        context = chromium.new_context(**options)
        contexts.append(context)
        one = context.new_page()
        one.on("console", lambda message: complaints.append(message.text))
        one.on("pageerror", lambda error: complaints.append(str(error)))
        one.on("requestfailed", lambda request: complaints.append(request.url))
        one.goto((folder / "report.html").as_uri())
        return one

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def facts(one):
    """What the tip says, as it is read on the screen; empty if it is hidden."""
    tip = one.locator("#tip")
    if not tip.is_visible():
        return {}
    names = tip.locator("dt").all_inner_texts()
    return dict(zip(names, tip.locator("dd").all_inner_texts(), strict=True))


def point(one, cell):
    """Move the mouse to a cell's middle, scrolling as a reader would."""
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    one.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_the_pointer_reads_what_the_file_holds(visit, folder):
    """Sixty cells of each map, as the netCDF library reads them."""
    one = visit(**LAPTOP)
    rng = np.random.default_rng(0)
    for number, file in enumerate(("sweep.adamw.nc", "sweep.sgdw.nc")):
        with netCDF4.Dataset(folder / file) as data:
            errors = np.ma.filled(data["validation_error"][:], np.nan).mean(axis=0)
            alphas, decays = data["learning_rate"][:], data["decay"][:]
        grid = one.locator("figure.map").nth(number)
        places = rng.permutation(errors.size)[:59].tolist()
        places.append(int(np.ravel_multi_index(GONE[1:], errors.shape)))
        for i, j in zip(*np.unravel_index(places, errors.shape), strict=True):
            point(one, grid.locator(f'[data-row="{i}"][data-column="{j}"]'))
            said = facts(one)
            (lam,) = (v for k, v in said.items() if k.startswith("λ here"))
            assert float(lam) == pytest.approx(decays[i], rel=5e-4)
            alpha = float(said["learning rate α"])
            assert alpha == pytest.approx(alphas[j], rel=5e-4)
            shown = said["validation error"].split()[0]
            if (i, j) == GONE[1:]:
                assert said["diverged"] == "1 of 3 runs, first at step 37"
            else:
                assert shown == f"{100 * errors[i, j]:.2f}"


def test_the_pointed_cell_shows_its_curve_and_leaving_takes_it_away(visit):
    one = visit(**LAPTOP)
    curve = one.locator("figure.map").first.locator('[data-curve="loss"]')
    assert curve.get_attribute("points") == ""
    point(one, one.locator(".cell").nth(20))
    assert len(curve.get_attribute("points").split()) == 3
    one.mouse.move(2, 2)
    assert curve.get_attribute("points") == ""
    assert facts(one) == {}


def test_a_map_is_one_stop_of_tab_and_its_cells_are_read_with_the_arrows(visit):
    one = visit(**LAPTOP)
    stops = one.locator('figure.map .cell[tabindex="0"]')
    assert stops.count() == 2
    first = stops.first
    start = [int(first.get_attribute(f"data-{k}")) for k in ("row", "column")]
    one.locator("figure.map").first.evaluate("f => f.previousElementSibling?.focus()")
    for _ in range(30):  # past the links above
        one.keyboard.press("Tab")
        if one.evaluate("document.activeElement.classList.contains('cell')"):
            break
    moves = {
        "ArrowLeft": (0, -1),
        "ArrowDown": (-1, 0),
        "ArrowRight": (0, 1),
        "ArrowUp": (1, 0),
    }
    here = start
    for key, (up, right) in moves.items():
        one.keyboard.press(key)
        here = [here[0] + up, here[1] + right]
        active = one.evaluate("({...document.activeElement.dataset})")
        assert [int(active["row"]), int(active["column"])] == here
        label = one.evaluate("document.activeElement.getAttribute('aria-label')")
        assert facts(one)["validation error"] in label
        assert stops.count() == 2
    one.keyboard.press("Home")
    assert one.evaluate("document.activeElement.dataset.column") == "0"
    one.keyboard.press("ArrowLeft")  # nothing is there
    assert one.evaluate("document.activeElement.dataset.column") == "0"
    one.keyboard.press("Escape")
    assert facts(one) == {}


def test_everything_that_is_drawn_has_words(visit):
    one = visit(**LAPTOP)
    assert one.locator("#tip").get_attribute("aria-live") == "polite"
    drawn = "svg:not([aria-hidden]), img, .cell"
    silent = one.locator(drawn).evaluate_all(
        "all => all.filter(e => !(e.getAttribute('aria-label') || e.alt)).length"
    )
    assert silent == 0
    grid = one.get_by_role("grid").first
    assert grid.get_attribute("aria-label").startswith("Heat map of AdamW: validation")
    assert grid.get_by_role("row").count() == len(DECAYS)


def test_a_phone_reads_a_cell_with_a_finger_and_never_scrolls_sideways(visit):
    one = visit(**PHONE)
    for details in one.locator("details").all():
        details.locator("summary").first.click()
    assert one.evaluate("document.documentElement.scrollWidth") == 390
    cell = one.locator(".cell").nth(20)
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    one.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert facts(one)["validation error"] in cell.get_attribute("aria-label")
    tip = one.locator("#tip").bounding_box()
    assert tip["x"] >= 0
    assert tip["x"] + tip["width"] <= 390
    covered = (
        tip["y"] < box["y"] + box["height"] and box["y"] < tip["y"] + tip["height"]
    )
    assert not covered


def test_the_page_prints(visit):
    """In the colours of paper, also where the screen is dark; no empty shell."""
    one = visit(**LAPTOP, color_scheme="dark")
    dark = one.evaluate("getComputedStyle(document.body).backgroundColor")
    printed = one.pdf(format="A4", print_background=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert printed.startswith(b"%PDF-")
    assert pages >= 2
    one.emulate_media(media="print")
    paper = one.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == "rgb(20, 23, 27)"
    assert paper == "rgb(253, 253, 252)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_screenshots_are_kept_to_be_looked_at(visit, scheme, screen):
    """In .cache/screenshots; words stand out from the ground by 4.5 to 1."""
    one = visit(**screen, color_scheme=scheme)
    point(one, one.locator(".cell").nth(40))
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    name = f"report_{'phone' if screen is PHONE else 'laptop'}_{scheme}.png"
    one.screenshot(path=SCREENSHOTS / name)
    one.screenshot(path=SCREENSHOTS / f"full_{name}", full_page=True)
    ground = luminance(one, "body", "backgroundColor")
    for words in ("h1", ".kicker", "nav a", ".verdict", ".slope", ".note", ".with"):
        for each in one.locator(words).all()[:2]:
            ink = luminance(each, None, "color")
            low, high = sorted((ink, ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5, words


def luminance(where, selector, name):
    """The relative luminance of a computed colour, by WCAG 2.1."""
    element = where.locator(selector).first if selector else where
    text = element.evaluate(f"e => getComputedStyle(e).{name}")
    parts = np.array([float(v) for v in re.findall(r"[\d.]+", text)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
