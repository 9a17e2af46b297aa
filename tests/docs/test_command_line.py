"""The page on the command line shows what is really printed, and every command."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import wdjax.cli
from experiments.harness import cli
from wdjax import exit_codes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
SHOWN = [
    shown
    for block in BLOCKS
    for shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE)
]
INTERPRETER = shlex.quote(sys.executable)
SHELL = f"""
wdjax() {{ {INTERPRETER} -m wdjax "$@"; }}
python() {{ {INTERPRETER} "$@"; }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands run, in order: one reads what another wrote."""
    return tmp_path_factory.mktemp("shell")


def without_seconds(text):
    return re.sub(r"\b\d+ s\b", "… s", text).strip()


@pytest.mark.parametrize(("line", "output"), SHOWN, ids=[line for line, _ in SHOWN])
@pytest.mark.slow  # a process for each command
def test_each_command_prints_what_stands_below_it(folder, line, output):
    done = subprocess.run(
        ["bash", "-c", SHELL + line],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert output
    assert without_seconds(done.stdout) == without_seconds(output)


def test_every_command_and_exit_code_is_on_the_page():
    lines = [line for line, _ in SHOWN]
    for name in wdjax.cli.COMMANDS:
        assert any(line.startswith(f"wdjax {name} ") for line in lines)
    for name in cli.COMMANDS:
        assert f"`python -m experiments {name}" in PAGE
    assert exit_codes.as_text() in PAGE


def test_every_variable_on_the_page_is_read_somewhere():
    """By our code or scripts; those of JAX are its own, and begin with its name."""
    table = PAGE.split("## Environment variables")[1]
    names = set(re.findall(r"`([A-Z_]{4,})(?:=\w+)?`", table))
    assert {"NO_COLOR", "TERM", "XDG_CACHE_HOME", "PYTHON"} < names
    read = "".join(
        path.read_text(encoding="utf-8")
        for path in (
            *(ROOT / "experiments").rglob("*.py"),
            ROOT / "scripts/environment.sh",
        )
    )
    for name in names:
        assert name in read or name.startswith("JAX_"), name
