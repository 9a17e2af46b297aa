"""A folder of results as one HTML file."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from wdjax.report import curves, drawing, folder, maps, meanings, panels
from wdjax.report.folder import Folder, Picture, Result, Study
from wdjax.report.maps import Map
from wdjax.report.panels import Panel
from wdjax.sweep import files
from wdjax.sweep.record import writable_folder

TEMPLATES = Path(__file__).parent / "templates"
VERDICTS = {
    "PASS": "supported",
    "FAIL": "contradicted",
    "INCONCLUSIVE": "not decided",
    "SMOKE": "a smoke run decides nothing",
}
_RUN = ("date", "commit", "device", "versions", "layout")


class Section(NamedTuple):
    """A study with what belongs to it, or results that belong to none.

    Attributes:
        id: of the element.
        name: the study's, or how the files' names begin.
        study: None for results by themselves.
        maps: the heat maps.
        pictures: the figures.
        names: of all data files.
        files: data files without a map, and why.
        settings: of the run, by name.
        run: when, where and with what, by name.
    """

    id: str
    name: str
    study: Study | None
    maps: list[Map]
    pictures: list[Picture]
    names: list[str]
    files: dict[str, str]
    settings: dict[str, str]
    run: dict[str, str]

    @property
    def tally(self) -> str:
        """How many sentences have each verdict."""
        counts = Counter(f.verdict for f in self.study.findings) if self.study else {}
        order = [v for v in VERDICTS if v in counts] + sorted(set(counts) - {*VERDICTS})
        return " · ".join(f"{counts[v]} {VERDICTS.get(v, v)}" for v in order)


def write(path: Path, out: Path | None = None, *, meaning: str | None = None) -> Path:
    """Write a folder's report; there whole, or not at all.

    Args:
        path: the folder that an experiment or :func:`wdjax.sweep.save` wrote into.
        out: the file; ``report.html`` in the folder if not given. An older one is
            replaced.
        meaning: what λ means in results that do not say so; a name of
            :data:`wdjax.inspect.MEANINGS`.

    Returns:
        The file.

    Raises:
        ValueError: there is nothing to report, no such meaning, or the file cannot be
            written.
    """
    if meaning is not None:
        meanings.meaning(meaning)  # an unknown one speaks at once
    text = html(folder.read(path), meaning)
    out = path / "report.html" if out is None else out
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name a file in it, such as report.html.")
    writable_folder(out.parent)
    try:
        files.write_text(out, text)
    except OSError as error:
        raise ValueError(f"{out} cannot be written ({error.strerror}).") from None
    return out


def html(found: Folder, meaning: str | None = None) -> str:
    """The page: the same text for the same files.

    Args:
        found: the folder's contents.
        meaning: as for :func:`write`.
    """
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            name=found.name,
            sections=sections(found, meaning),
            unread=found.unread,
            style=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_digest=base64.b64encode(digest).decode(),
            verdicts=VERDICTS,
            drawing=drawing,
            curves=curves,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["place"] = lambda value: f"{value:.1f}"
    return environment


def sections(found: Folder, meaning: str | None = None) -> list[Section]:
    """Each study with its files, then the results that belong to none.

    Results by themselves go together where their names begin alike, up to a dot.

    Args:
        found: the folder's contents.
        meaning: as for :func:`write`.
    """
    studies = {study.name: study for study in found.studies}
    results: dict[str, list[Result]] = {name: [] for name in studies}
    for result in found.results:
        results.setdefault(_owner(result.file, studies), []).append(result)
    return [
        _section(
            f"part{number}",
            name,
            studies.get(name),
            mine,
            pictures=[p for p in found.pictures if _owner(p.file, studies) == name],
            meaning=meaning,
        )
        for number, (name, mine) in enumerate(results.items())
    ]


def _owner(file: str, studies: Iterable[str]) -> str:
    """The study that a file's name begins with, or that beginning itself."""
    names = [name for name in studies if file.startswith(f"{name}.")]
    return max(names, key=len, default=file.split(".", maxsplit=1)[0])


def _section(
    identifier: str,
    name: str,
    study: Study | None,
    results: Sequence[Result],
    *,
    pictures: list[Picture],
    meaning: str | None,
) -> Section:
    grids: list[Panel] = []
    files = {}
    for result in results:
        try:
            grids += panels.panels(result, meaning)
        except ValueError as error:
            files[result.file] = str(error)
    attributes = [r.dataset.attrs for r in results]
    provenances = attributes if study is None else [study.provenance]
    return Section(
        id=identifier,
        name=name,
        study=study,
        maps=_maps(grids, identifier),
        pictures=pictures,
        names=[r.file for r in results],
        files=files,
        settings=_shared([_plain(p.get("configuration")) for p in provenances]),
        run=_shared([_run(p) for p in provenances]),
    )


def _maps(grids: Sequence[Panel], identifier: str) -> list[Map]:
    """Maps of one measure share their colours, so that they can be compared."""
    means: dict[str, list[np.ndarray]] = {}
    for panel in grids:
        means.setdefault(panel.measures[0], []).append(panel.means.ravel())
    scales = {k: drawing.scale(np.concatenate(v)) for k, v in means.items()}
    return [
        maps.view(panel, f"{identifier}map{k}", scales[panel.measures[0]])
        for k, panel in enumerate(grids)
    ]


def _run(provenance: Mapping[str, Any]) -> dict[str, str]:
    """When, where and with what."""
    shown = {name: str(provenance[name]) for name in _RUN if provenance.get(name)}
    if "versions" in shown:
        versions = _plain(shown["versions"])
        shown["versions"] = ", ".join(f"{k} {v}" for k, v in versions.items())
    return shown


def _shared(runs: Sequence[dict[str, str]]) -> dict[str, str]:
    """What several runs have in common."""
    return {
        name: value
        for name, value in runs[0].items()
        if all(other.get(name) == value for other in runs[1:])
    }


def _plain(text: Any) -> dict[str, str]:
    """A JSON object's values as words; none where it is not one."""
    found = folder.json_object(text)
    return {str(k): str(v) for k, v in sorted(found.items()) if v is not None}
