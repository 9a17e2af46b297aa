"""The doctor's command: what is typed, what is printed, and the exit code."""

import json
import sys

import pytest

from wdjax import cli

TRAIN = """
import jax
import jax.numpy as jnp
import optax
import wdjax

def init():
    return {"kernel": jnp.ones((3, 2))}

def narrow():
    return jax.eval_shape(lambda: {"kernel": jnp.ones((3, 2), jnp.bfloat16)})

def optimizer():
    return wdjax.adamw(1e-2, 0.5, where=wdjax.where.matrices)

def needs(rng):
    return rng

class State:
    params = {"kernel": jnp.ones((3, 2))}

def state():
    return State()

schedule = optax.linear_schedule(0.0, 1e-2, 100)
number = 3
"""
HEALTHY = ["--learning-rate", "1e-2", "--weight-decay", "0.5", "--steps", "1000"]


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """A directory with a module, which is not on the path; both forgotten later."""
    (tmp_path / "doctor_train.py").write_text(TRAIN)
    (tmp_path / "doctor_broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".")])
    yield tmp_path
    sys.modules.pop("doctor_train", None)


def typed(*words):
    return cli.main(["doctor", *words])


def test_a_healthy_run_passes(capsys):
    assert typed("doctor_train:init", *HEALTHY) == 0
    printed = capsys.readouterr()
    assert "Nothing was found." in printed.out
    assert printed.err == ""


def test_a_state_gives_its_parameters(capsys):
    assert typed("doctor_train:state", *HEALTHY, "--json") == 0
    assert json.loads(capsys.readouterr().out)["pulled"] == ["kernel"]


def test_an_error_fails_and_a_warning_fails_strictly():
    assert typed("doctor_train:narrow", *HEALTHY, "--learning-rate", "1e-3") == 1
    warned = ["doctor_train:init", *HEALTHY, "--steps", "100"]
    assert typed(*warned) == 0
    assert typed(*warned, "--strict") == 1
    assert typed(*warned, "--strict", "--ignore", "timescale-beyond-run") == 0


def test_json_is_json(capsys):
    typed("doctor_train:narrow", *HEALTHY, "--weight-decay", "0.01", "--json")
    read = json.loads(capsys.readouterr().out)
    assert read["budget"] == pytest.approx(0.1)
    assert read["findings"][0]["name"] == "no-op-in-dtype"
    assert read["findings"][0]["leaves"] == ["kernel"]
    assert read["exit_code"] == 1


def test_every_option_arrives(capsys):
    words = ["doctor_train:init", "--steps", "1000", "--json"]
    words += ["--learning-rate", "doctor_train:schedule", "--convention", "paper"]
    words += ["--peak-learning-rate", "0.01", "--weight-decay", "0.004"]
    words += ["--base", "sgd", "--momentum", "0.5", "--where", "matrices"]
    words += ["--batch-size", "10", "--examples", "500"]
    assert typed(*words) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["budget"] == pytest.approx(0.004 * (sum(range(100)) / 100 + 900))
    assert read["timescale_in_epochs"] == pytest.approx(250 * 10 / 500)
    assert read["base"] == "sgd"
    assert read["equilibrium_rotation"] > 0
    words = ["doctor_train:init", *HEALTHY, "--weight-decay", "0", "--l2", "0.5"]
    assert typed(*words, "--base", "sgd", "--momentum", "0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["budget"] == pytest.approx(10.0)
    words = ["doctor_train:init", *HEALTHY, "--base", "lion", "--json"]
    rms = []
    for b2 in ("0.9", "0.99"):
        assert typed(*words, "--b2", b2) == 0
        rms.append(json.loads(capsys.readouterr().out)["equilibrium_rms"])
    assert rms[0] < rms[1]


def test_an_optimizer_speaks_for_itself(capsys):
    words = ["doctor_train:init", *HEALTHY, "--optimizer", "doctor_train:optimizer"]
    assert typed(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["pulled"] == ["kernel"]
    assert typed(*words, "--where", "matrices") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["doctor_train"], "params is 'doctor_train'; write module:name"),
        (["doctor_train:"], "params is 'doctor_train:'; write module:name"),
        (["doctor_absent:init"], "importing 'doctor_absent' failed, ModuleNotFound"),
        (["doctor_broken:init"], "importing 'doctor_broken' failed, ZeroDivision"),
        (["doctor_train:absent"], "module 'doctor_train' has no 'absent'."),
        (["doctor_train:number"], "doctor_train:number is of type int; give a"),
        (["doctor_train:needs"], "calling doctor_train:needs() failed, TypeError"),
        (["doctor_train:init", "--learning-rate", "fast"], "--learning-rate is 'fast'"),
        (
            ["doctor_train:init", "--weight-decay", "doctor_train:number"],
            "doctor_train:number is 3; it must be a schedule.",
        ),
        (["doctor_train:init", "--l2=-1"], "l2 is -1; it must be finite"),
        (["doctor_train:init", "--steps", "0"], "steps is 0"),
        (["doctor_train:init", "--ignore", "budget-tinny"], "Did you mean 'budget-ti"),
    ],
)
def test_what_makes_no_sense_ends_with_a_sentence(words, sentence, capsys):
    target, *options = words
    assert typed(target, *HEALTHY, *options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("wdjax doctor: ")
    assert sentence in printed.err
    assert printed.err.endswith(".\n")
    assert printed.err.count("\n") == 1
