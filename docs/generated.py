"""Pages that nobody writes: conventions from code, a gallery from saved outcomes."""

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from experiments.harness import catalogue
from experiments.harness.reports import Report, load_report
from wdjax.decay.convention import BY_NAME
from wdjax.inspect import MEANINGS, WITHOUT_CONVERSION

OUTCOMES = Path(catalogue.__file__).parents[1] / "outcomes"


def conventions() -> str:
    """Every meaning that :func:`wdjax.convert` knows, and those that it refuses."""
    named = [
        (f"`wdjax.{name}`", f"({c.peak:g}, {c.schedule:g})")
        for name, c in BY_NAME.items()
    ]
    meanings = [
        (f"`{m.name}`", m.measure.formula, m.base or "any", m.who) for m in MEANINGS
    ]
    refused = [(f"`{name}`", why) for name, why in WITHOUT_CONVERSION.items()]
    return "\n".join(
        [
            "# What λ means, library by library",
            "",
            "This page is printed by the code that converts. Decoupled decay removes",
            "the fraction $δ_t = λ\\,α^a\\,η_t^b$ of the weights in step t, with α the",
            "peak learning rate and $η_t$ the schedule's multiplier; libraries differ",
            "in the exponents.",
            "",
            *_table(("`Convention`", "(a, b)"), named),
            "",
            "## Names that `wdjax.convert` and `wdjax convert` understand",
            "",
            *_table(("name", "what the number says", "optimizer", "who"), meanings),
            "",
            "## What has no conversion, and why",
            "",
            *_table(("name", "why"), refused),
            "",
        ]
    )


def gallery(docs: Path) -> str:
    """Each experiment's claim, figure, verdicts and command."""
    shutil.rmtree(docs / "figures", ignore_errors=True)
    (docs / "figures").mkdir()
    lines = [
        "# Gallery",
        "",
        "Each figure was drawn by an experiment of one file, with its prediction in",
        "the same axes. PASS: the whole 95 % interval lies inside the tolerance, which",
        "was fixed before; FAIL: none of it does; INCONCLUSIVE: anything else.",
        "",
    ]
    for name in catalogue.names():
        lines += [f"## {name.replace('_', ' ')}", ""]
        for path in (
            OUTCOMES / f"{name}.json",
            *sorted(OUTCOMES.glob(f"*/{name}.json")),
        ):
            lines += _outcome(load_report(path), path.with_suffix(".png"), docs)
    return "\n".join(lines)


def _outcome(report: Report, figure: Path, docs: Path) -> list[str]:
    """One report, its figure copied to where the page finds it."""
    copied = f"figures/{figure.relative_to(OUTCOMES).as_posix().replace('/', '_')}"
    shutil.copy(figure, docs / copied)
    tally = Counter(finding.verdict for finding in report.findings)
    verdicts = " · ".join(f"{count} {verdict}" for verdict, count in tally.items())
    return [
        report.claim,
        "",
        f"*{verdicts}*, on {report.data}. `{report.command}`",
        "",
        f"![{report.claim}]({copied})",
        "",
    ]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"

    return [line(head), line("---" for _ in head), *map(line, rows)]
