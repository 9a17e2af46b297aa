"""The pages are executed, build without a warning, and name what exists."""

import re
import subprocess
import sys
from functools import reduce
from importlib.util import find_spec
from pathlib import Path

import pytest

import wdjax
from wdjax.inspect import MEANINGS, WITHOUT_CONVERSION

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WRITTEN = (
    "index",
    "command_line",
    "tutorial",
    "which_weight_decay",
    "choosing",
    "own_model",
)
OPTIONS = ("-W", "--keep-going", "-q", "-E", "-b", "html")
NAME = re.compile(r"\bwdjax((?:\.[A-Za-z_]\w*)+)")


@pytest.mark.slow  # every page's code is run: minutes
@pytest.mark.skipif(
    not all(map(find_spec, ("sphinx", "myst_nb", "sphinx_book_theme"))),
    reason='the documentation needs `pip install -e ".[docs]"`',
)
def test_every_page_runs_and_builds_without_a_warning(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *OPTIONS, str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    for name in (*WRITTEN, "conventions", "gallery", "explorer", "api/theory"):
        assert (tmp_path / f"{name}.html").stat().st_size > 5_000
    tutorial = (tmp_path / "tutorial.html").read_text(encoding="utf-8")
    assert re.search(r"largest difference over all steps: \d\.\d+e-1[5-7]", tutorial)
    meanings = (tmp_path / "conventions.html").read_text(encoding="utf-8")
    for name in (*(meaning.name for meaning in MEANINGS), *WITHOUT_CONVERSION):
        assert f">{name}<" in meanings
    audit = (tmp_path / "which_weight_decay.html").read_text(encoding="utf-8")
    assert "weight decay: growing" in audit


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_on_a_page_exists(page):
    for dotted in NAME.findall(page.read_text(encoding="utf-8")):
        parts = dotted.strip(".").split(".")
        assert reduce(getattr, parts, wdjax) is not None


def test_a_page_is_not_checked_in_vain():
    found = NAME.findall((DOCS / "migration.md").read_text(encoding="utf-8"))
    assert len(found) > 20
    with pytest.raises(AttributeError, match="sgd_with_l2"):
        reduce(getattr, ["sgd_with_l2"], wdjax)


def test_every_written_page_is_in_the_table_of_contents():
    contents = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = contents[contents.index("{toctree}") :].split()
    written = {page.stem for page in (*PAGES, *DOCS.glob("*.ipynb"))} - {"index"}
    assert written <= set(listed)
