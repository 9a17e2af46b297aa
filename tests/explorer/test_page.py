"""The explorer as a page: keyboard, words, links, screens, and one file."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.explorer import settings
from tests.explorer.conftest import PAGE
from tests.explorer.controls import (
    by_the_controls,
    grids,
    lesson,
    move,
    numbers,
    shown,
    shuffle,
    state,
    verdict,
)

SCREENSHOTS = Path(__file__).parents[2] / ".cache" / "screenshots"


def test_everything_can_be_done_from_the_keyboard(open_page):
    """Tab reaches each control in turn; arrow keys move points and sliders."""
    page = open_page()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.id")
        reached.append(focused)
    controls = page.locator("main :is(input, select, button, .handle):visible")
    ids = controls.evaluate_all("all => all.map(e => e.id)")
    assert len(ids) > 20
    assert set(ids) <= set(reached)
    page.locator("#right-minimum").focus()
    for key in (
        "ArrowRight",
        "ArrowUp",
        "ArrowUp",
        "Shift+ArrowLeft",
        "Shift+ArrowDown",
    ):
        page.keyboard.press(key)
    np.testing.assert_allclose(state(page, "left")["minimum"], [1.79, 1.19], atol=1e-12)
    page.locator("#alpha").focus()
    page.keyboard.press("ArrowLeft")
    np.testing.assert_allclose(state(page, "left")["alpha"], 10**-0.75)
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    assert page.locator("#play").inner_text() == "Pause"


def test_every_control_and_picture_has_a_name(open_page):
    page = open_page()
    names = page.evaluate(
        """() => [...document.querySelectorAll(
          "main :is(input, select, button, [role])")]
        .map(e => [e.id, e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent
          ?? document.getElementById(e.getAttribute("aria-labelledby"))?.textContent
          ?? e.textContent])"""
    )
    assert len(names) > 25
    assert all(name.strip() for _, name in names)


def test_a_picture_says_in_words_what_it_shows(open_page):
    page = open_page()
    before = page.locator("#left-desc").text_content()
    assert "SGD + L2 from (−1.60, 1.30); after 60 of 60 steps at" in before
    assert shown(page, "left-theta") in before
    assert shown(page, "left-limit") in before
    move(page, scrub=3)
    after = page.locator("#left-desc").text_content()
    assert "after 3 of 60 steps" in after
    assert shown(page, "left-theta") in after


def test_the_step_shown_is_the_one_asked_for(open_page):
    page = open_page()
    setting = by_the_controls(page, "left", "sgd_l2")
    path = settings.trajectory(setting)
    for t in (0, 1, 7, 59, 60):
        move(page, scrub=t)
        np.testing.assert_allclose(
            numbers(shown(page, "left-theta")), path[t], atol=0.00501
        )


def test_playing_goes_on_from_the_start_and_stops(open_page):
    page = open_page()
    page.locator("#play").click()
    page.wait_for_function("Number(document.getElementById('scrub').value) > 3")
    assert int(page.locator("#scrub").input_value()) < 60
    page.locator("#play").click()
    there = page.locator("#scrub").input_value()
    page.wait_for_timeout(200)
    assert page.locator("#scrub").input_value() == there
    assert page.locator("#play").inner_text() == "Play"


def test_who_wants_no_motion_gets_none(open_page):
    page = open_page(reduced_motion="reduce")
    move(page, scrub=5)
    page.locator("#play").click()
    assert page.locator("#scrub").input_value() == "60"
    assert page.locator("#play").inner_text() == "Play"


def link(page):
    """The address's fragment, once it is up to date."""
    page.wait_for_function("location.hash === explorer.link().replace(/^#$/, '')")
    return page.evaluate("location.hash")


def test_a_link_keeps_every_setting(open_page):
    page, rng = open_page(), np.random.default_rng(4)
    page.locator("#linked").uncheck()
    for method, schedule in zip(
        settings.METHODS, (*settings.SCHEDULES, "step"), strict=True
    ):
        shuffle(page, rng, grids(page))
        move(page, left_method=method, right_method="adamw", schedule=schedule)
        move(page, right_meaning=rng.choice(settings.CONVENTIONS))
        page.locator("#left-start").focus()
        page.keyboard.press("ArrowDown")
        other = open_page(fragment=link(page))
        for side in ("left", "right"):
            assert state(other, side) == state(page, side)
        assert verdict(other) == verdict(page)


@pytest.mark.parametrize("number", range(5))
def test_a_lesson_s_link_leads_back_to_the_lesson(open_page, number):
    page = open_page()
    lesson(page, number)
    other = open_page(fragment=link(page))
    pressed = other.locator(".lessons button[aria-pressed=true]").inner_text()
    assert pressed == page.locator(".lessons button").nth(number).inner_text()


@pytest.mark.parametrize(
    "fragment",
    [
        "#alpha=NaN&steps=1e9&beta=&minimum=1,x&start=1,2,3",
        "#leftMethod=constructor&schedule=__proto__&rightMeaning=toString",
        "#__proto__=1&toString=2&%E0%A4%A&=&&",
        "#leftLambda=-99&h1=Infinity&linked=maybe",
    ],
)
def test_a_link_that_makes_no_sense_changes_nothing(open_page, fragment):
    here, plain = open_page(fragment=fragment), open_page()
    assert state(here, "left") == state(plain, "left")
    assert state(here, "right") == state(plain, "right")


def test_points_in_a_link_stay_in_the_picture(open_page):
    page = open_page(fragment="#minimum=99,-99")
    assert state(page, "left")["minimum"] == [2.6, -1.9]


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1360, 1920])
def test_no_screen_scrolls_sideways(open_page, width):
    page = open_page(width=width)
    for number in range(5):
        lesson(page, number)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


def test_the_page_is_one_small_file_that_asks_for_no_other():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.encode()) < 60_000
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|import\(", text)
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}),
    ],
)
def test_screenshots_are_kept_to_be_looked_at(open_page, name, options):
    page = open_page(**options)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for number in (0, 3):
        lesson(page, number)
        file = SCREENSHOTS / f"explorer_{name}_{number + 1}.png"
        page.screenshot(path=file, full_page=True)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(numbers(colour)) / 3
    assert brightness < 40 if name == "dark" else brightness > 240
