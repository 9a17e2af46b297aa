"""What lies in a folder of results."""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import xarray as xr

from wdjax import sweep
from wdjax.sweep import files

T = TypeVar("T")

PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
_WORDS = ("claim", "predicted", "measured", "verdict", "convention", "notes")


class Finding(NamedTuple):
    """One checked sentence of a study, in words; the empty word where none is."""

    claim: str
    predicted: str
    measured: str
    verdict: str
    convention: str
    notes: str
    budget: str
    seeds: str


class Study(NamedTuple):
    """What an experiment left behind.

    Attributes:
        name: the experiment's, which its files begin with.
        question: what was asked; empty in reports that do not say it.
        claim: the one sentence that it checks.
        mode: "default", "full" or "smoke".
        command: what to type for it.
        data: the data set's label.
        provenance: texts by their names: configuration, versions, device, …
        seconds: wall-clock time.
        findings: one for each checked sentence.
    """

    name: str
    question: str
    claim: str
    mode: str
    command: str
    data: str
    provenance: dict[str, str]
    seconds: float
    findings: list[Finding]


class Result(NamedTuple):
    """A saved sweep."""

    file: str
    dataset: xr.Dataset


class Picture(NamedTuple):
    """An image, as an address that holds all of it."""

    file: str
    address: str


class Folder(NamedTuple):
    """All that a report is made of, each list by name.

    Attributes:
        name: the folder's own, without its parents.
        studies: the experiments' reports.
        results: the saved sweeps.
        pictures: one for each stem, PNG or SVG, whichever is smaller.
        unread: why a file cannot be read, by its name.
    """

    name: str
    studies: list[Study]
    results: list[Result]
    pictures: list[Picture]
    unread: dict[str, str]


def read(path: Path) -> Folder:
    """Read a folder; a file that cannot be read is listed, not fatal.

    Args:
        path: the folder that an experiment or :func:`wdjax.sweep.save` wrote into.

    Returns:
        What is in it, subfolders left out.

    Raises:
        ValueError: there is no such folder, or nothing in it to report.
    """
    if not path.is_dir():
        raise ValueError(
            f"There is no folder {path}; give the one that `python -m experiments run` "
            "or wdjax.sweep.save wrote into."
        )
    unread: dict[str, str] = {}
    studies = _readable(sorted(path.glob("*.json")), _study, unread)
    results = _readable(sorted(path.glob("*.nc")), _result, unread)
    if not (studies or results):
        raise ValueError(_nothing(path, unread))
    return Folder(path.resolve().name, studies, results, _pictures(path), unread)


def json_object(text: Any) -> dict[str, Any]:
    """A JSON object that was saved as a text; empty where it is no such thing."""
    try:
        found = json.loads(str(text))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _readable(
    paths: list[Path], reader: Callable[[Path], T | None], unread: dict[str, str]
) -> list[T]:
    """What can be read; why the others cannot goes into ``unread``."""
    found = []
    for path in paths:
        try:
            one = reader(path)
        except ValueError as error:
            unread[path.name] = str(error).replace(str(path), path.name)
        else:
            found += [] if one is None else [one]
    return found


def _nothing(path: Path, unread: Mapping[str, str]) -> str:
    if unread:
        return f"Nothing in {path} can be read: {next(iter(unread.values()))}"
    if (path / "study.json").exists():
        return (
            f"{path} holds a sweep in flight, not its result: finish it, write it with "
            "wdjax.sweep.save(result, 'FOLDER/name.nc'), and report FOLDER."
        )
    return (
        f"Nothing in {path} can be reported: it has neither an experiment's report "
        "(.json) nor a saved sweep (.nc). Write one with `python -m experiments run "
        "… --out DIR` or wdjax.sweep.save."
    )


def _result(path: Path) -> Result:
    return Result(path.name, sweep.load(path))


def _study(path: Path) -> Study | None:
    """A study's report; None for JSON that is another thing."""
    try:
        text = files.read_text(path)
        plain: Any = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON ({error}).") from None
    if not (isinstance(plain, dict) and {"name", "claim", "findings"} <= set(plain)):
        return None
    try:
        return _study_of(files.unsealed_json(text))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{path.name} is not a report as an experiment wrote it: {error}. Run it "
            "again."
        ) from None


def _study_of(plain: Mapping[str, Any]) -> Study:
    words = {
        name: str(plain.get(name) or "")
        for name in ("name", "question", "claim", "mode", "command", "data")
    }
    return Study(
        **words,
        provenance={str(k): str(v) for k, v in plain.get("provenance", {}).items()},
        seconds=float(plain.get("seconds", 0.0)),
        findings=[_finding(row) for row in plain["findings"]],
    )


def _finding(row: Mapping[str, Any]) -> Finding:
    words = {name: str(row.get(name) or "") for name in (*_WORDS, "budget")}
    seeds = row.get("seeds")
    return Finding(**words, seeds=str(seeds or ""))


def _pictures(path: Path) -> list[Picture]:
    found: dict[str, Path] = {}
    for file in sorted(p for p in path.iterdir() if p.suffix in PICTURES):
        known = found.get(file.stem)
        if known is None or file.stat().st_size < known.stat().st_size:
            found[file.stem] = file
    return [Picture(file.name, _address(file)) for file in found.values()]


def _address(file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode("ascii")
    return f"data:{PICTURES[file.suffix]};base64,{data}"
