"""The studies' networks: all of them can be asked for, and can train."""

import typing

import jax
import jax.numpy as jnp
import pytest

import wdjax
from experiments.harness import cli
from experiments.harness.networks import NETWORKS
from wdjax import data, sweep


def choices(name):
    """The values that an option of ``run`` may have."""
    hint = typing.get_type_hints(cli.run)[name]
    literal = next(a for a in typing.get_args(hint) if a is not type(None))
    return typing.get_args(literal)


def test_the_command_line_offers_every_network_and_schedule():
    assert list(choices("model")) == list(NETWORKS)
    assert list(choices("schedule")) == list(sweep.SCHEDULES)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_on_the_studies_images(name):
    network = NETWORKS[name]
    model = network.make(classes=10)
    train = sweep.make_train(
        model.init,
        model.apply,
        lambda h: wdjax.adamw(h["learning_rate"], 0.1),
        steps=1,
        batch_size=32,
        records=1,
        collect=model.collect,
        augment=sweep.in_turn(sweep.random_crop, sweep.random_flip),
        microbatch=network.microbatch_of(32),
    )
    outcome = jax.eval_shape(
        train,
        sweep.arrays(data.load("photos10")),
        {"learning_rate": jnp.asarray(0.1)},
        jax.random.key(0),
    )
    assert outcome["loss"].shape == (1,)
    assert outcome["test_error"].shape == ()


def test_microbatches_are_for_cpus_and_divide_the_batch(monkeypatch):
    assert NETWORKS["cnn"].microbatch_of(64) == 16
    assert NETWORKS["cnn"].microbatch_of(40) is None
    assert NETWORKS["mlp"].microbatch_of(64) is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert NETWORKS["cnn"].microbatch_of(64) is None
