"""Sphinx: pages in MyST, executed as they are built; reference from the docstrings."""

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.util.typing import stringify_annotation

import wdjax
from wdjax import types

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the pages' generators; `experiments`

from generated import conventions, gallery  # noqa: E402

project = "wdjax"
author = "The wdjax developers"
copyright = f"2026, {author}"
version = release = wdjax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "sphinx_book_theme"
html_title = "wdjax"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}
html_extra_path = ["explorer.html"]
html_static_path = ["_static"]
html_css_files = ["wide.css"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 72
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
copybutton_exclude = ".linenos, .gp, .go"
suppress_warnings = ["ref.python"]  # short names of types that two rooms have


def _plain(text: str) -> str:
    """A type as it is written in the source, not as Python spells it out."""
    return re.sub(r"~?\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)


ALIASES = {  # the longest first
    _plain(stringify_annotation(alias, "smart")): name
    for name, alias in (
        ("ScalarOrSchedule", types.ScalarOrSchedule),
        ("Schedule", types.Schedule),
        ("ScalarLike", types.ScalarLike),
    )
}


def short_types(
    _app: Any, _what: str, _name: str, _obj: Any, _options: Any, *signature: str | None
) -> tuple[str | None, ...]:
    """Signatures with ``ScalarLike`` for what it stands for."""

    def short(text: str | None) -> str | None:
        if text is None:
            return None
        text = _plain(text)
        for long, name in ALIASES.items():
            text = text.replace(long, name)
        return text

    return tuple(short(text) for text in signature)


def skip_fields(
    _app: Any, _what: str, _name: str, member: Any, _skip: bool, _options: Any
) -> bool | None:
    """Fields of named tuples stand in their class' docstring."""
    told = getattr(member, "__doc__", None) or ""
    return True if told.startswith("Alias for field number") else None


def write_pages(_app: Any) -> None:
    """The pages that are made from code and from saved outcomes."""
    for name, text in (("conventions", conventions()), ("gallery", gallery(HERE))):
        path = HERE / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> None:
    """Hook the above into the build."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-signature", short_types)
    app.connect("autodoc-skip-member", skip_fields)
