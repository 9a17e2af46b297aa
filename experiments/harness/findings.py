"""What an experiment found: rows of the table of outcomes, and their file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wdjax.stats import Verdict
from wdjax.sweep.record import writable_folder


class Finding(NamedTuple):
    """One checked sentence: predicted before the run, measured, judged.

    Attributes:
        claim: the sentence that was checked.
        predicted: what theory says, as text with its tolerance.
        measured: what the run gave, as text with its interval or its residual.
        verdict: the judgement by the rule fixed beforehand.
        notes: conditions that a reader must know (seeds, data, censoring).
    """

    claim: str
    predicted: str
    measured: str
    verdict: Verdict
    notes: str = ""


class Outcome(NamedTuple):
    """What an experiment's ``run`` returns.

    Attributes:
        findings: one for each checked sentence.
        data: the data set's label, where there is one.
    """

    findings: list[Finding]
    data: str = "computed, no data set"


class Report(NamedTuple):
    """What one experiment left behind.

    Attributes:
        name: the experiment's.
        claim: its one sentence.
        mode: "default", "full" or "smoke"; a smoke run has no verdicts.
        data: the data set's label.
        provenance: configuration, versions, device, commit and date, as text.
        tolerances: digest of the file with the tolerances that judged it.
        seconds: wall-clock time.
        findings: one for each checked sentence.
    """

    name: str
    claim: str
    mode: str
    data: str
    provenance: dict[str, str]
    tolerances: str
    seconds: float
    findings: list[Finding]


def shown_verdict(report: Report, finding: Finding) -> str:
    """The verdict to print: a smoke run has none."""
    return "SMOKE" if report.mode == "smoke" else str(finding.verdict)


def save_report(report: Report, folder: Path) -> Path:
    """Write ``folder/<name>.json``.

    Args:
        report: what to save; the verdicts of a smoke run are not.
        folder: made where it is missing.

    Returns:
        The file.
    """
    writable_folder(folder)
    path = folder / f"{report.name}.json"
    rows = [
        f._asdict() | {"verdict": shown_verdict(report, f)} for f in report.findings
    ]
    plain = report._asdict() | {"findings": rows}
    path.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
    return path


def load_report(path: Path) -> Report:
    """Read what :func:`save_report` wrote.

    Args:
        path: the file.

    Returns:
        The report.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        plain: Mapping[str, Any] = json.loads(path.read_text())
        undecided = plain["mode"] == "smoke"
        findings = [
            Finding(**(row | {"verdict": Verdict.INCONCLUSIVE}))
            if undecided
            else Finding(**(row | {"verdict": Verdict(row["verdict"])}))
            for row in plain["findings"]
        ]
        return Report(**{**plain, "findings": findings})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a report of an experiment ({error}); run it again."
        ) from error
