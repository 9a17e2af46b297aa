"""The page of what the experiments write."""

from pathlib import Path

import pytest

from experiments.harness import catalogue, cli
from experiments.harness.reports import load_report, save_report
from wdjax.report import folder, page
from wdjax.sweep import files

OUTCOMES = Path(__file__).parents[2] / "experiments" / "outcomes"


@pytest.mark.parametrize("name", catalogue.names())
def test_every_experiment_asks_a_question(name):
    asked = catalogue.question(catalogue.module(name))
    assert asked.endswith("?")
    assert "Prediction" not in asked
    assert "\n" not in asked


def test_the_question_is_kept_with_the_report_and_older_reports_are_read(tmp_path):
    older = load_report(OUTCOMES / "propositions.json")
    path = save_report(older._replace(question="Why?"), tmp_path)
    assert load_report(path).question == "Why?"
    plain = files.unsealed_json(files.read_text(path))
    del plain["question"]
    files.write_text(path, files.sealed_json(plain))
    assert load_report(path) == older._replace(question="")


def test_a_report_on_disk_is_read_as_it_was_written(tmp_path):
    written = load_report(OUTCOMES / "learning_rate_and_decay.json")
    save_report(written, tmp_path)
    (study,) = folder.read(tmp_path).studies
    assert (study.claim, study.command) == (written.claim, written.command)
    assert [f.claim for f in study.findings] == [f.claim for f in written.findings]
    assert [f.verdict for f in study.findings] == [f.verdict for f in written.findings]
    (section,) = page.sections(folder.read(tmp_path))
    assert section.settings["momentum"] == "0.9"
    assert section.run["commit"] == written.provenance["commit"]


def test_the_experiments_command_line_writes_the_page(tmp_path, capsys):
    save_report(load_report(OUTCOMES / "propositions.json"), tmp_path)
    cli.words.run(cli.COMMANDS, ["report", str(tmp_path)], "")
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert "Prop. 1" in (tmp_path / "report.html").read_text()
