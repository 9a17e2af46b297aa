"""Working the explorer's controls, and reading what it shows."""

import re

SLIDERS = "alpha", "steps", "beta", "beta2", "h1", "h2", "angle"
LAMBDAS = "left-lambda", "right-lambda"

_MOVE = """moves => {
  for (const [id, value] of moves) {
    const control = document.getElementById(id);
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    control.dispatchEvent(new Event("change", { bubbles: true }));
  }
}"""


def move(page, **controls):
    """Sliders to positions, lists to choices, in this order; ``_`` stands for ``-``."""
    moves = [[name.replace("_", "-"), str(to)] for name, to in controls.items()]
    page.evaluate(_MOVE, moves)


def grids(page):
    """The positions of each slider."""
    script = """ids => ids.map(id => document.getElementById(id))
        .map(({ min, max, step }) => [min, max, step])"""
    ids = [*SLIDERS, *LAMBDAS]
    ranges = [map(float, ends) for ends in page.evaluate(script, ids)]
    return {i: _positions(*ends) for i, ends in zip(ids, ranges, strict=True)}


def _positions(low, high, step):
    return [round(low + i * step, 2) for i in range(round((high - low) / step) + 1)]


def shuffle(page, rng, grids):
    move(page, **{s.replace("-", "_"): rng.choice(at) for s, at in grids.items()})


def numbers(text):
    """The numbers in a text, with a true minus and raised exponents."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    text = re.sub(
        "·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda m: f"e{m[1].translate(raised)}", text
    ).replace("−", "-")
    return [float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


def shown(page, name):
    return page.locator(f"#{name} > span").inner_text()


def verdict(page):
    return page.locator("#verdict").inner_text()


def state(page, side):
    return page.evaluate("side => explorer.settings(side)", side)


def lesson(page, number):
    page.locator(".lessons button").nth(number).click()


def by_the_controls(page, side, method):
    """A setting as the controls show it, in the units of their labels."""

    def position(slider):
        return float(page.locator(f"#{slider}").input_value())

    where = page.locator(f"#{side}-minimum"), page.locator(f"#{side}-start")
    minimum, start = (
        numbers(re.sub("θ[₁₂]", "", handle.get_attribute("aria-valuetext")))
        for handle in where
    )
    return {
        "method": method,
        "convention": page.locator(f"#{side}-meaning").input_value(),
        "schedule": page.locator("#schedule").input_value(),
        "alpha": 10 ** position("alpha"),
        "lambda": 10 ** position(f"{side}-lambda"),
        "beta": 1 - 10 ** -position("beta"),
        "beta2": 1 - 10 ** -position("beta2"),
        "h1": 10 ** position("h1"),
        "h2": 10 ** position("h2"),
        "angle": position("angle"),
        "steps": int(position("steps")),
        "minimum": minimum,
        "start": start,
    }
