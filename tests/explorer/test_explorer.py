"""The explorer: what its controls do, and what it shows."""

import re

import numpy as np
import pytest

from tests.explorer import settings
from tests.explorer.controls import (
    SLIDERS,
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
from wdjax.theory import quadratic

UNIT = 100  # of the picture's own coordinates, per unit of θ


@pytest.mark.parametrize("seed", range(8))
def test_what_is_shown_after_moving_sliders_is_what_wdjax_finds(open_page, seed):
    """Each value from its slider's position, not from the script."""
    page, rng = open_page(), np.random.default_rng(seed)
    methods = {
        "left": settings.METHODS[seed % 4],
        "right": rng.choice(settings.METHODS),
    }
    page.locator("#linked").uncheck()
    page.locator("#schedule").select_option(str(rng.choice([*settings.SCHEDULES])))
    for side, method in methods.items():
        page.locator(f"#{side}-method").select_option(str(method))
        if page.locator(f"#{side}-meaning").is_visible():
            convention = str(rng.choice(settings.CONVENTIONS))
            page.locator(f"#{side}-meaning").select_option(convention)
    calm = {"alpha": (-2, -0.8), "beta": (0, 1), "h1": (-1.5, 0.5), "h2": (-1.5, 0.5)}
    calm |= {"left-lambda": (-3, 0), "right-lambda": (-3, 0)}
    for slider, positions in grids(page).items():
        low, high = calm.get(slider, (-np.inf, np.inf))
        to = rng.choice([x for x in positions if low <= x <= high])
        page.locator(f"#{slider}").fill(f"{to:g}")
    paths = {
        side: settings.trajectory(by_the_controls(page, side, method))
        for side, method in methods.items()
    }
    for side, path in paths.items():
        last = numbers(shown(page, f"{side}-theta"))
        np.testing.assert_allclose(last, path[-1], atol=0.00501)  # 2 decimals
    apart = np.linalg.norm(paths["left"] - paths["right"], axis=1).max()
    np.testing.assert_allclose(numbers(verdict(page))[0], apart, rtol=0.005)  # 3 digits


def test_labels_show_the_values_that_are_used(open_page):
    page, rng = open_page(), np.random.default_rng(1)
    positions = grids(page)
    for _ in range(10):
        shuffle(page, rng, positions)
        used = state(page, "left")
        for slider in SLIDERS:
            said = numbers(page.locator(f"#{slider}-out").inner_text())[0]
            np.testing.assert_allclose(said, used[slider], rtol=0.05)
        said = numbers(page.locator("#left-lambda-out").inner_text())[0]
        np.testing.assert_allclose(said, used["lambda"], rtol=0.05)


def test_the_left_end_of_lambda_is_none_at_all(open_page):
    page = open_page()
    move(page, left_lambda=grids(page)["left-lambda"][0])
    assert page.locator("#left-lambda-out").inner_text() == "0"
    assert numbers(shown(page, "left-limit")) == state(page, "left")["minimum"]


def test_one_lambda_for_both_is_the_left_one_until_either_moves(open_page):
    page = open_page()
    page.locator("#linked").uncheck()
    move(page, right_lambda=-2)
    assert state(page, "left")["lambda"] != state(page, "right")["lambda"]
    before = state(page, "left")["lambda"]
    page.locator("#linked").check()
    assert state(page, "right")["lambda"] == before
    move(page, right_lambda=-1)
    assert state(page, "left")["lambda"] == state(page, "right")["lambda"] == 0.1


def test_plain_descent_with_a_penalty_is_always_its_decay(open_page):
    """The lecture's first sentence, whatever one moves; stable or not."""
    page, rng = open_page(), np.random.default_rng(2)
    diverged, plain = 0, {k: v for k, v in grids(page).items() if k != "beta"}
    for _ in range(25):
        shuffle(page, rng, plain)
        move(page, schedule=rng.choice([*settings.SCHEDULES]))
        assert verdict(page).startswith("The same."), page.url
        diverged += "Both diverge" in verdict(page)
    assert 0 < diverged < 25


def test_hanson_and_pratts_decay_meets_the_penalty_at_one_step_size(open_page):
    page = open_page()
    lesson(page, 1)
    meets = []
    for position in grids(page)["alpha"]:
        move(page, alpha=position)
        if verdict(page).startswith("The same."):
            meets.append(position)
    assert meets == [-0.7]


def test_no_decay_on_the_slider_makes_adamw_adam_with_l2(open_page):
    page = open_page()
    lesson(page, 3)
    page.locator("#linked").uncheck()
    gaps = []
    for position in grids(page)["right-lambda"]:
        move(page, right_lambda=position)
        assert verdict(page).startswith("Apart")
        gaps.append(numbers(verdict(page))[0])
    assert min(gaps) > 0.1


def test_with_momentum_only_the_limit_points_agree(open_page):
    page = open_page()
    lesson(page, 2)
    assert verdict(page).startswith("Apart")
    assert shown(page, "left-limit") == shown(page, "right-limit")
    beta, alpha = 0.9, 10**-1.5
    l2 = quadratic.heavy_ball_l2(alpha, 0.1, beta)
    np.testing.assert_allclose(numbers(shown(page, "right-equivalent")), l2, rtol=0.005)
    move(page, right_lambda=-2)  # λ′ = αλ
    assert shown(page, "left-limit") != shown(page, "right-limit")


@pytest.mark.parametrize("right", settings.METHODS[:2])
@pytest.mark.parametrize("convention", settings.CONVENTIONS)
def test_matching_finds_the_same_limit_point(open_page, right, convention):
    page = open_page()
    page.locator("#right-method").select_option("sgdw")
    page.locator("#right-meaning").select_option(convention)
    page.locator("#right-method").select_option(right)
    move(page, beta=0.5)
    page.locator("#match").click()
    assert shown(page, "left-limit") == shown(page, "right-limit")


def test_divergence_is_said_in_words(open_page):
    page = open_page()
    move(page, alpha=0.5)
    assert page.locator("#left .warn").text_content().startswith("Diverges: beyond 10⁶")
    assert shown(page, "left-stable") == "no"
    assert "diverging" in page.locator("#left-desc").text_content()


def test_no_setting_shows_a_number_that_is_none(open_page):
    """At the ends of all sliders, too."""
    page, rng = open_page(), np.random.default_rng(5)
    page.locator("#linked").uncheck()
    coarse = {k: [v[0], *v[::20], v[-1]] for k, v in grids(page).items()}
    for _ in range(30):
        shuffle(page, rng, coarse)
        methods = rng.choice(settings.METHODS, size=2)
        meanings = rng.choice(settings.CONVENTIONS, size=2)
        move(
            page,
            left_method=methods[0],
            right_method=methods[1],
            left_meaning=meanings[0],
            right_meaning=meanings[1],
            schedule=rng.choice([*settings.SCHEDULES]),
        )
        html = page.locator("main").inner_html()
        assert not re.search("NaN|undefined|Infinity|null", html), state(page, "left")


def centre(page, handle):
    box = page.locator(f"#{handle} .ring").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("what", ["minimum", "start"])
def test_points_follow_the_pointer_in_both_panels(open_page, side, what):
    page = open_page()
    before, limit = state(page, "left")[what], shown(page, "left-theta")
    width = page.locator(f"#{side} svg.plane").bounding_box()["width"]
    pixels = UNIT * width / 560
    x, y = centre(page, f"{side}-{what}")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y + 30)
    page.mouse.move(x + 0.5 * pixels, y + 0.7 * pixels, steps=5)
    page.mouse.up()
    page.mouse.move(x + 0.5 * pixels + 8, y + 0.7 * pixels)  # let go: it stays
    expected = before[0] + 0.5, before[1] - 0.7
    for panel in ("left", "right"):
        np.testing.assert_allclose(state(page, panel)[what], expected, atol=0.02)
        at = centre(page, f"{panel}-{what}")
        zero = page.locator(f"#{panel} svg.plane").bounding_box()
        origin = zero["x"] + zero["width"] / 2, zero["y"] + zero["height"] / 2
        drawn = (at[0] - origin[0]) / pixels, (origin[1] - at[1]) / pixels
        np.testing.assert_allclose(drawn, expected, atol=0.02)
    assert shown(page, "left-theta") != limit or what == "start"


def test_points_follow_a_finger(open_page):
    page = open_page(width=390, has_touch=True, is_mobile=True)
    page.locator("#right svg.plane").scroll_into_view_if_needed()
    before, top = state(page, "left")["start"], page.evaluate("scrollY")
    x, y = centre(page, "right-start")
    pixels = UNIT * page.locator("#right svg.plane").bounding_box()["width"] / 560
    touch = page.context.new_cdp_session(page)
    for kind, share in (("Start", 0), ("Move", 0.3), ("Move", 1), ("End", None)):
        points = []
        if share is not None:
            points = [{"x": x + share * pixels, "y": y + share * 0.5 * pixels}]
        finger = {"type": f"touch{kind}", "touchPoints": points}
        touch.send("Input.dispatchTouchEvent", finger)
    expected = before[0] + 1, before[1] - 0.5
    np.testing.assert_allclose(state(page, "left")["start"], expected, atol=0.03)
    assert page.evaluate("scrollY") == top


def test_points_cannot_be_dragged_out_of_the_picture(open_page):
    page = open_page()
    page.mouse.move(*centre(page, "left-minimum"))
    page.mouse.down()
    page.mouse.move(1359, 1)
    page.mouse.up()
    assert state(page, "left")["minimum"] == [2.6, 1.9]
