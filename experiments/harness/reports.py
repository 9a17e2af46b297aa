"""The report that an experiment leaves behind, and its file."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.harness.findings import Band, Finding, turning
from wdjax.stats import Interval, Verdict
from wdjax.sweep import files
from wdjax.sweep.record import writable_folder

TEXTS = ("name", "claim", "mode", "command", "data", "tolerances")


class Report(NamedTuple):
    """What one experiment left behind.

    Attributes:
        name: the experiment's.
        claim: its one sentence.
        mode: "default", "full" or "smoke"; a smoke run has no verdicts.
        command: what to type for it.
        data: the data set's label.
        provenance: configuration, versions, device, commit and date, as text.
        tolerances: digest of the file with the tolerances that judged it.
        seconds: wall-clock time.
        findings: one for each checked sentence.
        question: what was asked; empty in reports of before it was kept.
    """

    name: str
    claim: str
    mode: str
    command: str
    data: str
    provenance: dict[str, str]
    tolerances: str
    seconds: float
    findings: list[Finding]
    question: str = ""


def shown_verdict(report: Report, finding: Finding) -> str:
    """The verdict to print: a smoke run has none."""
    return "SMOKE" if report.mode == "smoke" else str(finding.verdict)


def verdict_objects(report: Report) -> list[dict[str, Any]]:
    """Each finding by itself, with all that it rests on, ready for JSON.

    Args:
        report: of one experiment.

    Returns:
        Dictionaries with the names of :class:`Finding`, and ``tolerance``, ``turning``,
        ``experiment``, ``command``, ``data``, ``commit``, ``seconds``, ``tolerances``.
        Ends of bands and intervals that are not finite are ``None``.
    """
    return [
        _plain(report, finding)
        | {
            "tolerance": finding.band.tolerance,
            "turning": turning(finding),
            "experiment": report.name,
            "command": report.command,
            "data": report.data,
            "commit": report.provenance.get("commit"),
            "seconds": report.seconds,
            "tolerances": report.tolerances,
        }
        for finding in report.findings
    ]


def save_report(report: Report, folder: Path) -> Path:
    """Write ``folder/<name>.json``, sealed with its digest, whole or not at all.

    Args:
        report: what to save; the verdicts of a smoke run are not.
        folder: made where it is missing.

    Returns:
        The file.
    """
    writable_folder(folder)
    path = folder / f"{report.name}.json"
    rows = [_plain(report, finding) for finding in report.findings]
    plain = report._asdict() | {"findings": rows}
    json.dumps(plain, allow_nan=False)  # what is not finite is no JSON
    files.write_text(path, files.sealed_json(plain))
    return path


def load_report(path: Path) -> Report:
    """Read what :func:`save_report` wrote.

    Args:
        path: the file.

    Returns:
        The report.

    Raises:
        ValueError: it is not such a file, or not as it was written, by its digest.
    """
    try:
        return parse_report(files.unsealed_json(files.read_text(path)))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a report of an experiment ({error}); run it again."
        ) from error


def parse_report(plain: Mapping[str, Any]) -> Report:
    """A report from its JSON, whose digest was checked.

    Args:
        plain: the fields of :class:`Report`.

    Raises:
        ValueError: they are not.
    """
    try:
        findings = [_finding(row) for row in plain["findings"]]
        report = Report(**{**plain, "findings": findings})
        _check_kinds(report)
        return report
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"a field is missing or of another kind: {error}") from error


def _check_kinds(report: Report) -> None:
    """Refuse fields that nothing could print."""
    texts = {name: value for name, value in report._asdict().items() if name in TEXTS}
    for name, value in {**texts, **report.provenance}.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}, and should be a text")
    if not math.isfinite(report.seconds):
        raise TypeError(f"seconds is {report.seconds!r}, and should be a number")


def _plain(report: Report, finding: Finding) -> dict[str, Any]:
    ends = {
        name: {k: _finite(v) for k, v in part._asdict().items()}
        for name, part in (("interval", finding.interval), ("band", finding.band))
    }
    return finding._asdict() | ends | {"verdict": shown_verdict(report, finding)}


def _finding(row: dict[str, Any]) -> Finding:
    shown = row["verdict"]
    verdict = Verdict.INCONCLUSIVE if shown == "SMOKE" else Verdict(shown)
    interval = {k: math.nan if v is None else v for k, v in row["interval"].items()}
    band = Band(
        _or(row["band"]["low"], -math.inf),
        _or(row["band"]["high"], math.inf),
        row["band"]["prediction"],
    )
    read = {"verdict": verdict, "interval": Interval(**interval), "band": band}
    return Finding(**(row | read))


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else float(number)


def _or(number: float | None, otherwise: float) -> float:
    return otherwise if number is None else number
