"""Networks as two pure functions on plain pytrees.

Every model is a :class:`Model`, ``(init, apply)``, whose parameters are nested
dictionaries of arrays; with batch normalisation also ``collect``, the statistics of a
batch. :func:`from_nnx` and :func:`from_linen` adapt Flax modules.
Flax is needed here, and nowhere else in wdjax.
"""

try:
    import flax as _flax  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "wdjax.models builds its networks with Flax, which is not installed: "
        'run `pip install "wdjax[experiments]"`.'
    ) from error

from wdjax.models.cnn import cnn
from wdjax.models.conv import conv_im2col, conv_lax, conv_stride_1, convolve
from wdjax.models.feed_forward import FeedForward
from wdjax.models.linen_adapter import from_linen
from wdjax.models.mlp import mlp
from wdjax.models.model import Model, Params
from wdjax.models.modules import linen_modules, nnx_modules
from wdjax.models.nnx_adapter import from_nnx
from wdjax.models.normalise import standardise
from wdjax.models.resnet import resnet, resnet20
from wdjax.models.vit import vit
from wdjax.models.wide_resnet import wide_resnet

__all__ = [
    "FeedForward",
    "Model",
    "Params",
    "cnn",
    "conv_im2col",
    "conv_lax",
    "conv_stride_1",
    "convolve",
    "from_linen",
    "from_nnx",
    "linen_modules",
    "mlp",
    "nnx_modules",
    "resnet",
    "resnet20",
    "standardise",
    "vit",
    "wide_resnet",
]
