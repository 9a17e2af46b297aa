"""The command line: what it prints, what it refuses, and with which exit code."""

import importlib
import io
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import wdjax
from wdjax import cli, exit_codes, sweep, terminal
from wdjax.inspect import MEANINGS, WITHOUT_CONVERSION

ROOT = Path(__file__).parents[1]
RATE = ("--learning-rate", "1e-3")


def run(capsys, *words):
    """Exit code, stdout and stderr."""
    try:
        code = cli.main(words)
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    return code, out, err


def test_convert_prints_a_number_and_how_far_it_holds(capsys):
    words = ("convert", "0.1", "--from", "pytorch:AdamW", "--to", "paper", *RATE)
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    number, sentence = out.splitlines()
    assert number == "0.0001"
    assert sentence.startswith("exact: pytorch:AdamW is δ_t = λ·α·η_t; paper is")


CASES = {
    "momentum": (
        "5e-4 --from pytorch:SGD --to constant --learning-rate 0.1 --momentum 0.9",
        "0.0005",
        "asymptotic",
    ),
    "sizes": (
        (
            "0.1 --from optax --to timescale:epochs --learning-rate 1e-3 "
            "--batch-size 128 --examples 50000"
        ),
        "25.6",
        "exact",
    ),
    # Σ(1 − t/4) = 2.5 over four steps, Σ(1 − t/4)² = 1.875
    "linear": (
        (
            "0.3 --from optax --to corrected --learning-rate 0.1 --schedule linear "
            "--steps 4"
        ),
        "0.4",
        "heuristic",
    ),
    # 0, 1/2 before; then the same: Σ = 3, Σ² = 2.125
    "warm-up": (
        (
            "0.17 --from optax --to corrected --learning-rate 0.1 --schedule linear "
            "--steps 6 --warm-up 2"
        ),
        "0.24",
        "heuristic",
    ),
    # Σcos²(πt/16) = 4.5 over eight steps, of cos⁴ 3.5
    "cosine": (
        (
            "0.7 --from optax --to corrected --learning-rate 0.1 --schedule cosine "
            "--steps 8"
        ),
        "0.9",
        "heuristic",
    ),
    # 0, 1/4, 1/2, 3/4, and 1 twice: Σ = 3.5
    "only a warm-up": (
        "0.4 --from optax --to budget --learning-rate 0.1 --steps 6 --warm-up 4",
        "0.14",
        "exact",
    ),
    "everything": (
        (
            "0.01 --from norm:sgd --to keras:SGD --learning-rate 1e-4 --momentum 0.5 "
            "--gradient-norm 0.1"
        ),
        "200",  # δ = ½(αG/((1 − β)‖θ‖²))² = ½·0.2²
        "asymptotic",
    ),
    "epochs": (
        "0.3 --from normalised --to paper --batch-size 10 --examples 100 --epochs 10",
        "0.03",
        "exact",
    ),
    "b1": ("0.03 --from rotation:adam --to decay_rate --b1 0.8", "0.00405", "asympto"),
}


@pytest.mark.parametrize(("words", "number", "holds"), CASES.values(), ids=CASES)
def test_every_option_reaches_the_conversion(capsys, words, number, holds):
    code, out, err = run(capsys, "convert", *words.split())
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == number
    assert out.splitlines()[1].startswith(holds)


def test_the_list_has_every_name(capsys):
    code, out, _ = run(capsys, "convert", "--list")
    assert code == 0
    for name in (*(row.name for row in MEANINGS), *WITHOUT_CONVERSION):
        assert name in out


PAPER = "--to paper"
REFUSED = {
    "unknown command": ("convrt 0.1", "wdjax: There is no command 'convrt'. Did you"),
    "unknown name": (
        "convert 0.1 --from optx --to paper",
        "wdjax convert: No meaning of weight decay is named 'optx'. Did you mean 'opta",
    ),
    "unknown option": (
        f"convert 0.1 --from optax {PAPER} --learning-rat 1",
        "There is no option --learning-rat. Did you mean '--learning-rate'?",
    ),
    "shortened option": (
        f"convert 0.1 --from optax {PAPER} --learning 1",
        "There is no option --learning. Did you mean '--learning-rate'?",
    ),
    "a word too many": (f"convert 0.1 2 --from optax {PAPER}", "'2' is one word too"),
    "no number": ("convert --from optax --to paper", "Give a value, --from and --to;"),
    "no target": ("convert 0.1 --from optax", "Give a value, --from and --to;"),
    "not a number": (
        f"convert abc --from optax {PAPER}",
        "invalid float value: 'abc'. See wdjax convert --help.",
    ),
    "negative": (
        f"convert -0.1 --from optax {PAPER} --learning-rate 1",
        "weight_decay is -0.1; it must be finite and at least 0",
    ),
    "nan": (
        f"convert nan --from optax {PAPER} --learning-rate 1",
        "weight_decay is nan; it must be finite",
    ),
    "missing setting": (
        f"convert 0.1 --from optax {PAPER}",
        "--learning-rate is needed to convert from optax to paper",
    ),
    "missing steps": (
        "convert 0.1 --from paper --to budget",
        (
            "wdjax convert: --steps is needed to convert from paper to budget: the "
            "length of the run; give --steps."
        ),
    ),
    "no conversion": (
        "convert 0.1 --from pytorch:Adam --to pytorch:AdamW",
        "No λ makes pytorch:Adam and pytorch:AdamW the same",
    ),
    "other optimizers": (
        "convert 0.1 --from optax:lion --to optax:adamw",
        "their steps differ",
    ),
    "schedule without peak": (
        f"convert 0.1 --from optax {PAPER} --schedule cosine --steps 9",
        "A schedule needs --learning-rate, its peak, and --steps",
    ),
    "schedule without steps": (
        f"convert 0.1 --from optax {PAPER} --schedule cosine --learning-rate 1",
        "A schedule needs --learning-rate, its peak, and --steps",
    ),
    "long warm-up": (
        f"convert 0.1 --from optax {PAPER} --learning-rate 1 --steps 9 --warm-up 9",
        "--warm-up is 9; it must be at least 0 and below --steps",
    ),
    "unknown schedule": (
        f"convert 0.1 --from optax {PAPER} --schedule cosin",
        "invalid choice: 'cosin'. Did you mean 'cosine'? Known: constant, cosine, li",
    ),
    "unknown base": (
        "doctor wdjax.testing:small_network --learning-rate 1 --steps 1 --base adm",
        "argument --base: invalid choice: 'adm'. Did you mean 'adam'?",
    ),
    "option before what is missing": (
        "doctor wdjax.testing:small_network --step 5",
        "wdjax doctor: There is no option --step. Did you mean '--steps'?",
    ),
    "option of none": ("--versio", "There is no option --versio. Did you mean '--ver"),
    "unknown shell": ("--print-completion bsh", "'bsh'. Did you mean 'bash'?"),
    "unknown factory": ("audit optax:adamww", "no 'adamww'. Did you mean 'adamw'?"),
    "unknown module": ("audit optx:adamw", "Did you mean 'optax'? Run the command"),
    "a point for a colon": ("audit optax.adamw", "module:name, such as optax:adamw."),
    "no module": ("audit adamw", "write module:name, such as optax:adamw."),
    "unknown comparison": (
        "audit optax:adamww --against pytorch:AdmW",
        "No meaning of weight decay is named 'pytorch:AdmW'. Did you mean 'pytorch:A",
    ),
}


@pytest.mark.parametrize(("words", "sentence"), REFUSED.values(), ids=REFUSED)
def test_bad_input_ends_with_a_sentence_and_exit_code_two(capsys, words, sentence):
    code, out, err = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("wdjax")
    assert err.count("\n") == 1


def test_help_lists_the_commands_and_the_version_is_that_of_the_package(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    for name in cli.COMMANDS:
        assert name in out
    assert run(capsys, "--help")[1] == out
    assert run(capsys, "--version")[1] == f"{wdjax.__version__}\n"


def test_help_is_a_command_too(capsys):
    assert run(capsys, "help")[1] == run(capsys, "--help")[1]
    assert run(capsys, "help", "doctor")[1] == run(capsys, "doctor", "--help")[1]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_examples_in_its_help(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert f"Examples:\n  wdjax {name} " in out


def examples():
    """The lines of the help that begin with ``wdjax``, continued where they are."""
    for path in ("wdjax.cli", *cli.COMMANDS.values()):
        text = (importlib.import_module(path).__doc__ or "").replace("\\\n", " ")
        for line in text.split("Examples:")[1].splitlines():
            if line.strip():
                yield line.split()[1:]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folders of results that the examples speak of."""
    cells = np.zeros((2, 1), np.float32)
    axes = {"decay": [0.0, 0.1], "learning_rate": [1e-3]}
    result = xr.Dataset({"test_error": (tuple(axes), cells)}, axes)
    for name in ("results", "my_sweep"):
        sweep.save(result, tmp_path / name / "mine.nc")
    monkeypatch.chdir(tmp_path)


EACH = {" ".join(words): words for words in examples()}


@pytest.mark.parametrize("words", EACH.values(), ids=EACH)
@pytest.mark.usefixtures("folders")
def test_the_examples_of_the_help_run(capsys, words):
    assert run(capsys, *words)[0] == 0


def test_the_script_of_the_package_is_this():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"wdjax": "wdjax.cli:main"}


LIGHT = """
import sys
for name in ("flax", "xarray", "matplotlib", "tyro", "tqdm", "sklearn", "orbax"):
    sys.modules[name] = None
from wdjax.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_it_needs_no_extra_and_no_letters_beyond_ascii():
    words = ("convert", "0.1", "--from", "optax", "--to", "paper", *RATE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIGHT, *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0.0001\nexact: optax is ?_t")


def test_what_a_stream_cannot_show_is_a_question_mark_there(monkeypatch):
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), "ascii")
        monkeypatch.setattr(sys, name, stream)
        terminal.tolerate()
        print("λ = 0.1", file=stream, flush=True)
        assert stream.buffer.getvalue() == b"? = 0.1\n"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    terminal.tolerate()  # it shows everything


SHORT = ("convert", "0.1", "--from", "paper", "--to", "constant")


def process(*words, stdout=subprocess.PIPE, **settings):
    """The command in a process of its own, where a third-party warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "wdjax", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | settings,
    )


@pytest.mark.parametrize("words", [("convert", "--list"), SHORT], ids=["long", "short"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_has_gone_ends_it_without_a_word(words, unbuffered):
    """As in `wdjax convert --list | head -1`: as other programs that a pipe ends."""
    reader, writer = os.pipe()
    os.close(reader)
    done = process(*words, stdout=writer, PYTHONUNBUFFERED=unbuffered)
    os.close(writer)
    assert (done.returncode, done.stderr) == (exit_codes.READER_GONE, "")


INTERRUPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
from wdjax import cli
from wdjax.inspect.commands import convert
convert.run = lambda arguments: signal.raise_signal(signal.SIGINT)
sys.exit(cli.main(["convert", "--list"]))
"""


def test_an_interruption_ends_it_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == exit_codes.INTERRUPTED
    assert done.stderr == "wdjax convert: interrupted\n"


ENDS = {
    exit_codes.DONE: "audit optax:adamw",
    exit_codes.SAID_NO: "audit optax:adamw --against pytorch:Adam",
    exit_codes.BAD_INPUT: "audit optax:adamww",
}


@pytest.mark.parametrize(("code", "words"), ENDS.items(), ids=map(str, ENDS))
def test_it_ends_with_the_exit_code_that_the_help_tells(capsys, code, words):
    assert run(capsys, *words.split())[0] == code
    assert f"\n{code:5}  {exit_codes.MEANINGS[code]}\n" in run(capsys, "--help")[1]


def test_every_exit_code_is_met_by_a_test():
    met = {*ENDS, exit_codes.INTERRUPTED, exit_codes.READER_GONE}
    assert met == set(exit_codes.MEANINGS)


@pytest.mark.parametrize("settings", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_the_help_has_no_colours_and_nobody_else_speaks(settings):
    done = process("--help", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


COMPLETE = """
source /dev/stdin
COMP_WORDS=({words}) COMP_CWORD={place} COMP_LINE={line!r} COMP_POINT={point}
_shtab_wdjax wdjax "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(script, line):
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    shown = " ".join(f"'{word}'" for word in words)
    code = COMPLETE.format(
        words=shown, place=len(words) - 1, line=line, point=len(line)
    )
    done = subprocess.run(
        ["bash", "-c", code], input=script, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("wdjax ", ["audit", "convert", "doctor", "report"]),
        ("wdjax con", ["convert"]),
        ("wdjax doctor --peak", ["--peak-learning-rate"]),
        ("wdjax convert --schedule co", ["constant", "cosine"]),
        ("wdjax --print-completion t", ["tcsh"]),
    ],
)
def test_bash_completes_commands_options_and_choices(capsys, line, offered):
    code, script, err = run(capsys, "--print-completion", "bash")
    assert (code, err) == (0, "")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert completed(script, line) == offered


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_a_script_too(capsys, shell):
    code, script, err = run(capsys, "--print-completion", shell)
    assert (code, err) == (0, "")
    assert "wdjax" in script
    assert "doctor" in script


def test_without_shtab_the_package_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, out, err = run(capsys, "--print-completion", "bash")
    assert (code, out) == (exit_codes.BAD_INPUT, "")
    assert 'pip install "wdjax[completion]"' in err
