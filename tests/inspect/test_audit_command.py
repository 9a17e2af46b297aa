"""The audit on the command line, and beside optimizers by name."""

import json

import optax
import pytest

import wdjax
from wdjax import cli
from wdjax.inspect.auditing.against import against


def adamw(learning_rate, weight_decay):
    return optax.adamw(learning_rate, weight_decay=weight_decay)


def adam_then_decay(learning_rate, weight_decay):
    return optax.chain(
        optax.adam(learning_rate), optax.add_decayed_weights(weight_decay)
    )


def run(capsys, *words):
    code = cli.main(["audit", *words])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("factory", "name", "agrees"),
    [
        (adamw, "pytorch:AdamW", True),
        (adamw, "keras:AdamW", True),
        (adamw, "paper", False),
        (adamw, "pytorch:Adam", False),
        (wdjax.adam_l2, "pytorch:Adam", True),
        (wdjax.adam_l2, "pytorch:AdamW", False),
        (wdjax.sgd_l2, "pytorch:SGD", True),
        (optax.adamw(0.1), "pytorch:AdamW", False),  # no factory: nobody knows
        (adam_then_decay, "pytorch:AdamW", False),
    ],
)
def test_against_a_known_optimizer(factory, name, agrees):
    comparison = against(wdjax.audit(factory), name)
    assert comparison.agrees is agrees
    assert comparison.text.startswith(name)


def test_a_quantity_is_nothing_to_compare_with():
    with pytest.raises(ValueError, match="timescale:steps is a quantity"):
        against(wdjax.audit(adamw), "timescale:steps")


def test_the_command_prints_the_audit(capsys):
    code, out, _ = run(capsys, "optax:adamw")
    assert code == 0
    assert out.startswith("weight decay: decoupled\n")
    assert "OPTAX = PYTORCH" in out


def test_arguments_are_found_by_their_names(capsys):
    """optax.adamw takes the weight decay as its seventh argument."""
    _, out, _ = run(capsys, "optax:adamw", "--weight-decay", "0.2", "--json")
    assert json.loads(out)["decay_rate"][0] == pytest.approx(0.002)


def test_growing_weights_fail(capsys):
    code, out, _ = run(capsys, "tests.inspect.test_audit_command:adam_then_decay")
    assert code == 1
    assert "growing" in out


@pytest.mark.parametrize(("name", "code"), [("pytorch:AdamW", 0), ("paper", 1)])
def test_the_exit_code_says_whether_they_agree(capsys, name, code):
    found, out, _ = run(capsys, "optax:adamw", "--against", name)
    assert found == code
    assert out.splitlines()[-1].startswith(name)


def test_parameters_are_those_that_are_named(capsys):
    target = ("optax:adamw", "--params", "wdjax.testing:small_network", "--json")
    _, out, _ = run(capsys, *target)
    assert "kernel" not in json.loads(out)["per_leaf"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("optax",), "write module:name"),
        (("optax:adamv",), "has no 'adamv'"),
        (("optax:__version__",), "must be a gradient transformation"),
        (("optax:adamw", "--against", "pytorch:AdmW"), "Did you mean"),
        (("optax:adamw", "--weight-decay", "-1"), "weight_decay is -1"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_bad_input_ends_with_a_sentence_and_exit_code_2(capsys, words, message):
    code, _, err = run(capsys, *words)
    assert code == 2
    assert message in err
