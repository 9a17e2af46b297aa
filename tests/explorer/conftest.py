"""The explorer in a real browser, headless; skipped where there is none."""

import json
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "explorer.html"


@pytest.fixture(scope="module")
def ask(chromium):
    """What a function of JavaScript says, for each of many arguments."""
    page = chromium.new_page()
    page.goto(PAGE.as_uri())

    def answers(function, arguments):
        text = json.dumps(arguments)  # much faster than the driver's own encoding
        script = f"text => JSON.stringify(JSON.parse(text).map({function}))"
        return json.loads(page.evaluate(script, text))

    yield answers
    page.close()


@pytest.fixture
def open_page(chromium):
    """Open the explorer; afterwards, the console must have stayed silent."""
    said, contexts = [], []

    def load(*, width=1360, height=900, fragment="", **options):
        viewport = {"width": width, "height": height}
        context = chromium.new_context(viewport=viewport, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(PAGE.as_uri() + fragment)
        return page

    yield load
    for context in contexts:
        context.close()
    assert said == []
