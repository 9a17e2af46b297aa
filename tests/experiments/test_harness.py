"""The command line, the reports and the tables made of them."""

import contextlib
import os
import pty
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.harness import catalogue, cli, summary, words
from experiments.harness.findings import around, judged
from experiments.harness.reports import Report, load_report, save_report
from experiments.harness.tolerances import digest, tolerances
from wdjax import exit_codes
from wdjax.stats import Interval
from wdjax.sweep import files

ROOT = Path(__file__).parents[2]


def command(*arguments, code=None, **settings):
    """The command line, where a warning of anybody is an error."""
    program = ["-m", "experiments"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, "-W", "error", *program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | settings,
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


def test_the_summary_goes_on_without_what_an_older_version_left_there(tmp_path):
    save_report(report(), tmp_path)
    (tmp_path / "older.json").write_text("{}")
    said = summary.write(tmp_path)
    assert "Left out: " in said
    assert "older.json is not a report" in said
    assert "## some" in (tmp_path / "summary.md").read_text()
    (tmp_path / "some.json").unlink()
    with pytest.raises(ValueError, match=r"older\.json is not a report"):
        summary.write(tmp_path)


def test_a_summary_waits_for_another_and_then_reads_what_it_left(tmp_path):
    save_report(report()._replace(name="first"), tmp_path)
    with ThreadPoolExecutor(1) as pool:
        with files.held(tmp_path / ".summary.lock", what="it"):
            writing = pool.submit(summary.write, tmp_path)
            time.sleep(0.2)
            save_report(report()._replace(name="second"), tmp_path)
        writing.result()
    text = (tmp_path / "summary.md").read_text()
    assert "## first" in text
    assert "## second" in text


def test_a_summary_is_written_before_others_may_read(tmp_path, monkeypatch):
    written = files.write_text

    def write(path, text):
        lock = files.held(tmp_path / ".summary.lock", what="it")
        with pytest.raises(files.InUseError), lock:
            pass
        written(path, text)

    save_report(report(), tmp_path)
    monkeypatch.setattr(files, "write_text", write)
    summary.write(tmp_path)
    assert (tmp_path / "summary.md").exists()


def test_generated_parts_replace_what_stands_between_their_markers():
    text = "x\n<!-- table -->\nold\n<!-- /table -->\ny\n"
    replaced = summary.with_parts(text, {"table": "new\n"})
    assert replaced == "x\n<!-- table -->\nnew\n<!-- /table -->\ny\n"
    with pytest.raises(ValueError, match="0 parts 'other'"):
        summary.with_parts(text, {"other": ""})


def test_the_list_names_every_experiment():
    done = command("list")
    assert (done.returncode, done.stderr) == (0, "")
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
        (("verdicts", "nowhere"), "There are no results in nowhere"),
        (("lst",), "There is no command 'lst'. Did you mean 'list'?"),
        (("run", "propositions", "--smke"), "no option --smke. Did you mean '--smoke'"),
        (("run", "propositions", "--model=mpl"), "--model is 'mpl'. Did you mean 'mlp"),
        (
            ("run", "propositions", "--schedule", "cosin", "--smoke"),
            "--schedule is 'cosin'. Did you mean 'cosine'?",
        ),
        (("run", "propositions", "--steps"), "Missing argument"),
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
    assert done.returncode == 2
    assert 'pip install "wdjax[experiments]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_without_use_is_said_to_have_none(tmp_path):
    out = ("--out", str(tmp_path))
    done = command("run", "lecture_pictures", "--smoke", "--data", "digits", *out)
    assert done.returncode == 0, done.stderr
    assert "makes no use of --data" in done.stdout
    assert (tmp_path / "summary.md").exists()


def test_without_a_word_there_is_the_help_with_the_exit_codes(capsys, monkeypatch):
    shown = []
    for typed in ([], ["--help"], ["help"]):
        monkeypatch.setattr(sys, "argv", ["experiments", *typed])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2]
    for code, meaning in exit_codes.MEANINGS.items():
        assert f"\n{code:5}  {meaning}\n" in shown[0]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_examples_that_name_what_exists(capsys, name):
    with pytest.raises(SystemExit, match="0"):
        words.run(cli.COMMANDS, [name, "--help"], "")
    text = capsys.readouterr().out.replace("\\\n", " ")
    shown = re.findall(r"^  python -m experiments (.*)", text, flags=re.MULTILINE)
    assert shown
    for line in map(shlex.split, shown):
        assert line[0] == name
        words.refuse(cli.COMMANDS, line)
        for word in line[1:2] if name == "run" else []:
            catalogue.module(word)


def on_a_terminal(*arguments, **settings):
    """What the command line prints where both streams are a terminal."""
    master, slave = pty.openpty()
    program = [sys.executable, "-m", "experiments", *arguments]
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | settings
    with subprocess.Popen(program, cwd=ROOT, env=env, stdout=slave, stderr=slave):
        os.close(slave)
        pieces = []
        with contextlib.suppress(OSError):  # Linux' way to say that all is read
            while piece := os.read(master, 4096):
                pieces.append(piece)
    os.close(master)
    return b"".join(pieces).decode()


def test_a_terminal_has_colours_unless_it_is_asked_for_none():
    assert "\x1b[" in on_a_terminal("--help", TERM="xterm")
    assert "\x1b[" not in on_a_terminal("--help", TERM="xterm", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("--help", TERM="dumb")


def test_what_is_no_terminal_has_no_colours():
    for arguments in (("--help",), ("run", "--steps")):
        done = command(*arguments, TERM="xterm")
        assert "\x1b[" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("experiments ver", ["verdicts"]),
        ("experiments run --dat", ["--data", "--data-dir", "--data-remark"]),
        ("experiments run --model p", ["plain_mlp"]),
    ],
)
def test_bash_completes(capsys, line, offered):
    with pytest.raises(SystemExit):
        words.run(cli.COMMANDS, ["--tyro-print-completion", "bash"], "")
    script = capsys.readouterr().out
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    last = len(line.split()) - 1
    code = (
        f"source /dev/stdin; COMP_WORDS=({line}); COMP_CWORD={last}; "
        "_tyro_experiments; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "-c", code], input=script, capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == offered


def test_a_smoke_run_into_its_own_folder_leaves_the_checkout_as_it_was():
    """results/ is git-ignored: nothing else may appear."""
    before = subprocess.check_output(["git", "status", "--short"], cwd=ROOT)
    done = command("run", "lecture_pictures", "--smoke")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  figure: results/smoke/lecture_pictures.svg\n" in done.stdout
    ends = "As one page for a browser: python -m experiments report results/smoke\n"
    assert done.stdout.endswith(ends)
    assert subprocess.check_output(["git", "status", "--short"], cwd=ROOT) == before


INTERRUPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
from experiments.harness import cli, summary
summary.cost_table = lambda: signal.raise_signal(signal.SIGINT)
sys.argv = ["experiments", "list"]
cli.main()
"""


def test_an_interruption_ends_with_a_sentence_and_a_closed_pipe_without():
    done = command(code=INTERRUPT)
    assert done.returncode == exit_codes.INTERRUPTED
    assert done.stderr.startswith("interrupted; ")
    assert done.stderr.count("\n") == 1
    reader, writer = os.pipe()
    os.close(reader)
    listed = subprocess.run(
        [sys.executable, "-m", "experiments", "list"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (listed.returncode, listed.stderr) == (exit_codes.READER_GONE, "")
