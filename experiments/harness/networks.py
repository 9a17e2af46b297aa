"""The networks of the studies, each with what its training needs besides."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax

from wdjax import models


class Network(NamedTuple):
    """A network of a study.

    Attributes:
        make: ``classes -> model``.
        caption: for figures.
        microbatch: images whose gradient is taken at once on a CPU.
    """

    make: Callable[..., models.Model]
    caption: str
    microbatch: int | None = None

    def microbatch_of(self, batch_size: int) -> int | None:
        """The microbatch for this backend, if it divides the batch."""
        fits = self.microbatch is not None and batch_size % self.microbatch == 0
        return self.microbatch if fits and jax.default_backend() == "cpu" else None


NETWORKS = {
    "mlp": Network(
        partial(models.mlp, scale_invariant=True, epsilon=1e-12),
        "MLP, every layer normalised",
    ),
    "plain_mlp": Network(models.mlp, "MLP, not normalised"),
    "cnn": Network(
        partial(models.cnn, scale_invariant=True, epsilon=1e-12),
        "CNN, every layer normalised",
        microbatch=16,
    ),
    "resnet20": Network(models.resnet20, "ResNet-20, batch normalisation"),
    "wide_resnet": Network(
        partial(models.wide_resnet, 16, 4),
        "wide ResNet 16-4, batch normalisation",
    ),
    "vit": Network(models.vit, "small ViT, layer normalisation"),
}
