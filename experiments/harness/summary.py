"""Tables of outcomes, from saved reports: terminal, ``summary.md`` and README."""

import json
import os
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jinja2

from experiments.harness import catalogue as experiments_
from experiments.harness.findings import turning
from experiments.harness.reports import Report, load_report, shown_verdict
from experiments.harness.tolerances import digest
from wdjax import catalogue
from wdjax.decay import support
from wdjax.sweep import files

ROOT = Path(__file__).parents[2]
OUTCOMES = ROOT / "experiments" / "outcomes"
WORDS = {
    "PASS": "supported",
    "FAIL": "contradicted",
    "INCONCLUSIVE": "not decided",
    "SMOKE": "a smoke run decides nothing",
}

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)


def tally(report: Report) -> str:
    """How many sentences of a report have each verdict."""
    counts = Counter(shown_verdict(report, finding) for finding in report.findings)
    return " · ".join(f"{n} {name}" for name, n in counts.most_common())


_environment.globals.update(
    verdict=shown_verdict,
    tally=tally,
    words=WORDS,
    configuration=lambda report: json.loads(report.provenance["configuration"]),
)
_environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")


def reports(folder: Path) -> list[Report]:
    """The reports in a folder, judged by the tolerances in force.

    Args:
        folder: where ``run`` wrote.

    Returns:
        One for each experiment, by name.

    Raises:
        ValueError: there are none, or one was judged by other tolerances.
    """
    found, refused = _read(folder)
    if refused:
        raise ValueError(refused[0])
    return found


def _read(folder: Path) -> tuple[list[Report], list[str]]:
    """The reports in a folder, and what is wrong with each that is none."""
    there = os.path.isdir(folder)  # glob() raises where a name is too long
    paths = sorted(folder.glob("*.json")) if there else []
    if not paths:
        raise ValueError(f"There are no results in {folder}; run experiments first.")
    found, refused = [], []
    for path in paths:
        try:
            found.append(_checked(path))
        except ValueError as error:
            refused.append(str(error))
    return found, refused


def _checked(path: Path) -> Report:
    report = load_report(path)
    if report.tolerances != digest():
        raise ValueError(
            f"{path} was judged by other tolerances than those of "
            "experiments/harness/tolerances.toml; run the experiment again."
        )
    return report


def write(folder: Path) -> str:
    """Write ``folder/summary.md``.

    Args:
        folder: with the reports and figures.

    Returns:
        Sentences that say where it is, and how to make a page of it.
    """
    template = _environment.get_template("summary.md.jinja")
    path = folder / "summary.md"
    # Whoever comes last has read what the others wrote.
    with files.held(folder / ".summary.lock", seconds=60.0, what=str(path)):
        found, refused = _read(folder)
        if not found:
            raise ValueError(refused[0])
        figures = {
            r.name: sorted(p.name for p in folder.glob(f"{r.name}*.svg")) for r in found
        }
        files.write_text(path, template.render(reports=found, figures=figures))
    left_out = "".join(f"Left out: {sentence}\n" for sentence in refused)
    return (
        f"{left_out}Summary, figures and data: {path}\n"
        f"As one page for a browser: python -m experiments report {folder}"
    )


def terminal_table(found: Sequence[Report]) -> str:
    """One line for each checked sentence: verdict, claim, measured, predicted.

    Conditions that all sentences of a report share are said once. Of a smoke run there
    is nothing to read but that it went through.
    """
    lines = []
    for report in found:
        if report.mode == "smoke":
            lines.append(f"\n{report.name} (smoke, {report.seconds:.0f} s)")
            lines.append(f"  SMOKE         {_unjudged(len(report.findings))}")
            continue
        conditions = {finding.conditions for finding in report.findings}
        shared = conditions.pop() if len(conditions) == 1 else ""
        lines.append(f"\n{report.name} ({report.mode}, {report.seconds:.0f} s)")
        lines += textwrap.wrap(shared, 110, initial_indent="  ", subsequent_indent="  ")
        for finding in report.findings:
            lines.append(f"  {shown_verdict(report, finding):13} {finding.claim}")
            said = f"measured {finding.measured}; predicted {finding.predicted}"
            own = "" if finding.conditions == shared else finding.conditions
            lines += _indented(f"{said}; {own}" if own else said)
            lines += _indented(f"→ {turning(finding)}")
    return "\n".join(lines)


def _unjudged(sentences: int) -> str:
    return f"It runs. {sentences} sentences are judged without --smoke."


def cost_table() -> str:
    """Name, seconds, seconds of ``--full`` and claim of each experiment, and sums.

    Seconds are of two CPU cores, compilation included. Where there is no larger
    version, ``--full`` runs the same.
    """
    lines, totals = [f"{'':36} default      --full"], [0, 0]
    for name in experiments_.by_cost():
        experiment = experiments_.module(name)
        seconds = experiments_.seconds(experiment)
        totals = [total + s for total, s in zip(totals, seconds, strict=True)]
        lines.append(_costs(name, seconds))
        lines += textwrap.wrap(
            experiment.CLAIM, 88, initial_indent="  ", subsequent_indent="  "
        )
    return "\n".join([*lines, _costs("all", totals)])


def _costs(name: str, seconds: Sequence[int]) -> str:
    return f"{name:36}" + "".join(f"{s:7,} s   " for s in seconds).rstrip()


def _indented(text: str) -> list[str]:
    indent = " " * 16
    return textwrap.wrap(text, 110, initial_indent=indent, subsequent_indent=indent)


def readme_parts() -> dict[str, str]:
    """The README's generated parts, by the name in their markers."""
    others = sorted(path for path in OUTCOMES.iterdir() if path.is_dir())
    found = [report for folder in (OUTCOMES, *others) for report in reports(folder)]
    measured = {
        part: _environment.get_template(f"readme_{part}.md.jinja").render(reports=found)
        for part in ("figure", "outcomes")
    }
    tables = {
        "decays": catalogue.as_markdown(),
        "pairs": catalogue.pairs_as_markdown(),
        "refused": catalogue.refused_as_markdown(),
        "support": support.as_markdown(),
    }
    return measured | {name: f"{table.rstrip()}\n" for name, table in tables.items()}


def with_parts(text: str, parts: dict[str, str]) -> str:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``.

    Args:
        text: the README.
        parts: the new contents by name.

    Returns:
        The README with them.

    Raises:
        ValueError: a marker is missing.
    """
    for name, content in parts.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(
            pattern, lambda m, c=content: m[1] + c + m[2], text, flags=re.DOTALL
        )
        if count != 1:
            raise ValueError(f"The README has {count} parts {name!r}; it needs one.")
    return text


def update_readme() -> None:
    """Write the generated parts into ``README.md``."""
    path = ROOT / "README.md"
    files.write_text(path, with_parts(files.read_text(path), readme_parts()))
