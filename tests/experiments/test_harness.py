"""The command line, the reports and the tables made of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.harness import catalogue, summary
from experiments.harness.findings import around, judged
from experiments.harness.reports import Report, load_report, save_report
from experiments.harness.tolerances import digest, tolerances
from wdjax.stats import Interval

ROOT = Path(__file__).parents[2]


def command(*arguments, code=None):
    program = ["-m", "experiments"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def report(mode="default", tolerances_digest=None):
    interval = Interval(1.02, 1.01, 1.03)
    finding = judged("a | b", around(1, 0.1), interval, measured="1.02", seeds=5)
    provenance = {
        "configuration": '{"seeds": 5, "steps": 600, "batch_size": 64, '
        '"schedule": "cosine"}',
        "device": "2 × cpu",
        "commit": "abc",
        "date": "2026-01-01",
    }
    digest_ = digest() if tolerances_digest is None else tolerances_digest
    return Report(
        "some",
        "A claim.",
        mode,
        "python -m experiments run some",
        "photos10",
        provenance,
        digest_,
        61.0,
        [finding],
    )


def test_every_experiment_keeps_the_contract():
    assert len(catalogue.names()) >= 3
    for name in catalogue.names():
        experiment = catalogue.module(name)
        assert experiment.CLAIM.endswith(".")
        seconds, in_full = catalogue.seconds(experiment)
        assert 0 < seconds <= in_full
        assert (in_full > seconds) == hasattr(experiment, "FULL")
        assert callable(experiment.run)
        for part in ("Question.", "Prediction.", "Run.", "Cost.", "Outcome."):
            assert part in experiment.__doc__
        assert tolerances(name)
        assert experiment.Config() != experiment.SMOKE


def test_options_reach_the_settings_that_an_experiment_has():
    study = catalogue.module("learning_rate_and_decay")
    options = {"data": "digits", "model": None, "unheard_of": 3}
    configured = catalogue.configuration(study, "smoke", options)
    assert configured.data == "digits"
    assert configured.model == study.SMOKE.model
    assert configured.steps == study.SMOKE.steps
    assert catalogue.configuration(study, "full", {}) == study.FULL
    pictures = catalogue.module("lecture_pictures")
    assert catalogue.mode_of(study, "full") == "full"
    assert catalogue.mode_of(pictures, "full") == "default"
    assert catalogue.configuration(pictures, "default", {}) == pictures.Config()


def test_an_unknown_experiment_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"'propositon'.*Did you mean 'propositions'"):
        catalogue.module("propositon")


def test_a_report_comes_back_from_disk(tmp_path):
    path = save_report(report(), tmp_path)
    assert load_report(path) == report()


@pytest.mark.parametrize("text", ["", "[]", '{"findings": []}', '{"findings": [{}]}'])
def test_a_damaged_report_is_refused(tmp_path, text):
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"some\.json is not a report"):
        load_report(path)


def test_results_judged_by_other_tolerances_are_refused(tmp_path):
    save_report(report(tolerances_digest="0" * 64), tmp_path)
    with pytest.raises(ValueError, match=r"some\.json was judged by other tolerances"):
        summary.reports(tmp_path)


def test_an_empty_folder_has_no_verdicts(tmp_path):
    with pytest.raises(ValueError, match="There are no results in"):
        summary.reports(tmp_path)


def test_a_smoke_run_never_shows_a_verdict(tmp_path):
    save_report(report(mode="smoke"), tmp_path)
    shown = summary.terminal_table(summary.reports(tmp_path))
    summary.write(tmp_path)
    written = [(tmp_path / name).read_text() for name in ("some.json", "summary.md")]
    for text in (shown, *written):
        assert "SMOKE" in text
        assert "PASS" not in text


def test_the_summary_holds_verdicts_figures_and_sentences(tmp_path):
    save_report(report(), tmp_path)
    (tmp_path / "some.svg").write_text("<svg/>")
    summary.write(tmp_path)
    text = (tmp_path / "summary.md").read_text()
    assert "| PASS | a \\| b | 1 ± 0.1 | 1.02 | 5 seeds |" in text
    assert "![A claim.](some.svg)" in text
    assert "* a | b: **supported** (some)." in text


def test_generated_parts_replace_what_stands_between_their_markers():
    text = "x\n<!-- table -->\nold\n<!-- /table -->\ny\n"
    replaced = summary.with_parts(text, {"table": "new\n"})
    assert replaced == "x\n<!-- table -->\nnew\n<!-- /table -->\ny\n"
    with pytest.raises(ValueError, match="0 parts 'other'"):
        summary.with_parts(text, {"other": ""})


def test_the_list_names_every_experiment():
    done = command("list")
    assert done.returncode == 0
    assert all(name in done.stdout for name in catalogue.names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "lecture_picture"), "Did you mean 'lecture_pictures'"),
        (("run",), "Name an experiment, or give --all"),
        (("run", "propositions", "--smoke", "--full"), "--smoke and --full exclude"),
        (
            ("run", "learning_rate_and_decay", "--data", "photo10"),
            "Did you mean 'photos10'",
        ),
        (("verdicts", "--out", "nowhere"), "There are no results in nowhere"),
        (
            ("run", "lecture_pictures", "--out", "README.md/x"),
            "The output folder README.md/x cannot be written",
        ),
    ],
)
def test_a_bad_argument_ends_with_a_sentence_and_exit_code_2(arguments, message):
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_data_folder_stops_the_run_before_it_begins(tmp_path):
    data = ("--data", "cifar10", "--data-dir", str(tmp_path / "gone"))
    done = command("run", "--all", "--smoke", *data, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "gone" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_without_the_extra_the_missing_package_is_named():
    code = (
        "import sys, runpy; sys.modules['tyro'] = None; sys.argv = ['experiments']; "
        "runpy.run_module('experiments', run_name='__main__')"
    )
    done = command(code=code)
    assert done.returncode == 1
    assert 'pip install "wdjax[experiments]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_without_use_is_said_to_have_none(tmp_path):
    out = ("--out", str(tmp_path))
    done = command("run", "lecture_pictures", "--smoke", "--data", "digits", *out)
    assert done.returncode == 0, done.stderr
    assert "makes no use of --data" in done.stdout
    assert (tmp_path / "summary.md").exists()
