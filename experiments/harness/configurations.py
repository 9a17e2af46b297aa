"""Runs of several sizes, and the sweep over decay rates that each of them gets."""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from experiments.harness.methods import METHODS
from experiments.harness.networks import Network
from experiments.harness.trainings import Setting, trained
from experiments.harness.workspace import Workspace
from wdjax import data, models, sweep
from wdjax.theory.scaling import Scale

# With a free output layer the loss has a basin in λ as it has in practice; where logits
# are normalised too it hardly has any.
CAPTION = "MLP, hidden layers normalised"


class Configuration(NamedTuple):
    """The size of a run of AdamW on an MLP whose hidden layers are normalised.

    Attributes:
        learning_rate: the peak α.
        batch_size: examples in a step.
        examples: the first so many of the training set.
        epochs: passes over them, each without what does not fill a batch.
        width: of the hidden layers.
    """

    learning_rate: float
    batch_size: int
    examples: int
    epochs: int
    width: int = 64

    @property
    def steps(self) -> int:
        """Of a training."""
        return self.epochs * (self.examples // self.batch_size)

    @property
    def label(self) -> str:
        """For logs and tables."""
        return (
            f"α = {self.learning_rate:g}, b = {self.batch_size}, N = {self.examples}, "
            f"E = {self.epochs}, width {self.width}"
        )

    def network(self) -> Network:
        """The MLP of this width."""
        make = partial(
            models.mlp, (self.width, self.width), normalise=True, epsilon=1e-12
        )
        return Network(make, CAPTION)

    def scale(self, classes: int) -> Scale:
        """As the rules of scaling see it."""
        init = self.network().make(classes=classes).init
        leaves = jax.tree.leaves(jax.eval_shape(init, jax.random.key(0)))
        parameters = sum(leaf.size for leaf in leaves)
        return Scale(*self[:4], parameters)


def first(dataset: data.Dataset, examples: int) -> data.Dataset:
    """A data set with the first so many of its training examples.

    Raises:
        ValueError: it has fewer.
    """
    images, labels = dataset.train
    if examples > len(labels):
        raise ValueError(
            f"{dataset.name} has {len(labels)} training examples, and the "
            f"configuration asks for {examples}."
        )
    train = data.Split(images[:examples], labels[:examples])
    return dataclasses.replace(dataset, train=train)


def sweep_rates(
    configuration: Configuration,
    rates: Float[ndarray, " rates"],
    seeds: Iterable[int],
    *,
    schedule: str,
    dataset: data.Dataset,
    workspace: Workspace,
    settings: Mapping[str, Any],
) -> xr.Dataset:
    """Train one configuration at every decay rate, for every seed.

    Args:
        configuration: the size of the run.
        rates: δ = αλ at the peak, increasing.
        seeds: the same for every configuration.
        schedule: the name of η_t.
        dataset: of which the first ``configuration.examples`` are learnt.
        workspace: where it runs.
        settings: all settings of the experiment.

    Returns:
        Dimensions ``seed`` and ``rate``, with ``decay`` (λ = δ/α) along ``rate``.
    """
    alpha, batch_size = configuration.learning_rate, configuration.batch_size
    setting = Setting(
        configuration.network(), schedule, configuration.steps, batch_size, records=1
    )
    panel = trained(
        configuration.label,
        METHODS["AdamW"],
        setting,
        sweep.grid(seed=seeds, learning_rate=[alpha], decay=rates / alpha),
        dataset=first(dataset, configuration.examples),
        workspace=workspace,
        configuration=dict(settings) | configuration._asdict(),
    )
    panel = panel.isel(learning_rate=0, record=0)
    panel = panel.assign_coords(rate=("decay", rates)).swap_dims(decay="rate")
    return panel.transpose("seed", "rate")
