"""The vision transformer, by NumPy and by PyTorch."""

import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from wdjax.models import from_nnx, vit
from wdjax.models.model import paths
from wdjax.models.token_layers import EncoderBlock
from wdjax.models.vit import patches

SHAPE = (6, 4, 3)
KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (4, *SHAPE))
EPSILON = 0.1
SMALL = {
    "patch": 2,
    "depth": 2,
    "width": 12,
    "heads": 3,
    "hidden": 20,
    "epsilon": EPSILON,
    "input_shape": SHAPE,
}


def moved(params):
    """Away from the zeros and ones of the initialisation."""
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    return tree.unflatten(
        [np.asarray(p) + 0.2 * rng.standard_normal(p.shape) for p in leaves]
    )


def build(**options):
    model = vit(5, **(SMALL | options))
    return model, moved(jax.jit(model.init)(KEY))


class OneBlock(nnx.Module):
    """A block with its tokens flattened, for there to be logits."""

    def __init__(self, rngs):
        types = {"dtype": jnp.float64, "compute_dtype": None}
        self.block = EncoderBlock(12, 3, 20, epsilon=EPSILON, **types, rngs=rngs)

    def __call__(self, z):
        return self.block(z).reshape(len(z), -1)


def linear(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def norm(x, layer):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    y = (x - mean) / np.sqrt(variance + EPSILON)
    return layer["scale"] * y + layer["bias"]


def attention(z, layer, heads=3):
    """One token of one head of one image at a time."""
    q, k, v = (linear(z, layer[name]) for name in ("query", "key", "value"))
    d = z.shape[-1] // heads
    mixed = np.empty_like(z)
    for n in range(len(z)):
        for head in range(heads):
            own = slice(head * d, (head + 1) * d)
            for p in range(z.shape[1]):
                a = np.exp(k[n, :, own] @ q[n, p, own] / np.sqrt(d))
                mixed[n, p, own] = a @ v[n, :, own] / a.sum()
    return linear(mixed, layer["output"])


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def encoder_block(z, block):
    z = z + attention(norm(z, block["norm_0"]), block["attention"])
    return z + linear(
        gelu(linear(norm(z, block["norm_1"]), block["hidden"])), block["output"]
    )


def by_hand(params, images):
    tokens = [
        images[:, i : i + 2, j : j + 2].reshape(len(images), -1)
        for i in range(0, 6, 2)
        for j in range(0, 4, 2)
    ]
    z = linear(np.stack(tokens, 1), params["embed"]) + params["position"]
    for block in params["blocks"].values():
        z = encoder_block(z, block)
    return linear(norm(z, params["norm"]).mean(1), params["output"])


def test_forward_pass_by_hand():
    model, params = build()
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, IMAGES),
        by_hand(params, np.asarray(IMAGES)),
        # float64; JAX's erf in float64 is good to 1e-15, sums have 20 terms.
        rtol=1e-11,
    )


def test_an_encoder_block_is_pytorch_s():
    torch = pytest.importorskip("torch", reason="an oracle, and no dependency of ours")
    model = from_nnx(OneBlock)
    params = moved(jax.jit(model.init)(KEY))["block"]
    theirs = torch.nn.TransformerEncoderLayer(
        12,
        3,
        20,
        dropout=0.0,
        activation="gelu",
        layer_norm_eps=EPSILON,
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    qkv = [params["attention"][name] for name in ("query", "key", "value")]
    kernels = {
        "self_attn.in_proj_weight": np.concatenate([i["kernel"] for i in qkv], 1).T,
        "self_attn.in_proj_bias": np.concatenate([i["bias"] for i in qkv]),
    }
    for name, layer in (
        ("self_attn.out_proj", params["attention"]["output"]),
        ("linear1", params["hidden"]),
        ("linear2", params["output"]),
    ):
        kernels |= {f"{name}.weight": layer["kernel"].T, f"{name}.bias": layer["bias"]}
    for i in range(2):
        layer = params[f"norm_{i}"]
        kernels[f"norm{i + 1}.weight"] = layer["scale"]
        kernels[f"norm{i + 1}.bias"] = layer["bias"]
    theirs.load_state_dict({k: torch.tensor(v.copy()) for k, v in kernels.items()})
    z = np.random.default_rng(1).standard_normal((4, 6, 12))
    expected = theirs(torch.tensor(z)).detach()
    ours = jax.jit(model.apply)({"block": params}, z).reshape(z.shape)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "number"),
    [
        # Per block 4·128 + 4·(128² + 128) + 2·128·512 + 512 + 128.
        (vit(), 48 * 128 + 128 + 64 * 128 + 6 * 198_272 + 256 + 1290),
        (vit(), 1_205_642),
        (
            vit(
                1000,
                patch=16,
                depth=12,
                width=768,
                heads=12,
                input_shape=(224, 224, 3),
            ),
            # With a class token and its position, 2·768 more: 86,567,656.
            86_566_120,
        ),
    ],
)
def test_the_papers_numbers_of_parameters(model, number):
    shapes = jax.eval_shape(model.init, KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == number


def test_parameters_have_the_documented_names():
    names = set(paths(build()[1]))
    assert {"embed/kernel", "position", "norm/scale", "output/kernel"} < names
    assert {"blocks/1/norm_0/scale", "blocks/0/attention/query/kernel"} < names
    assert "blocks/0/hidden/kernel" in names


def test_patches_are_cut_row_by_row():
    pixels = jnp.arange(2 * 4 * 6 * 1.0).reshape(2, 4, 6, 1)
    cut = np.asarray(patches(pixels, 2))
    assert cut.shape == (2, 6, 4)
    np.testing.assert_array_equal(cut[0, 1], [2, 3, 8, 9])
    np.testing.assert_array_equal(cut[1, 3], 24 + np.array([12, 13, 18, 19]))


def test_initial_kernels_have_lecun_scale_and_positions_0_02():
    params = jax.jit(vit(depth=1).init)(KEY)
    kernel = np.asarray(params["blocks"]["0"]["hidden"]["kernel"])
    # Relative error of a variance √(2/N) at most; four standard errors.
    for leaf, variance in ((kernel, 1 / 128), (params["position"], 0.02**2)):
        tolerance = 4 * np.sqrt(2 / leaf.size)
        np.testing.assert_allclose(np.var(leaf), variance, rtol=tolerance)


def test_bfloat16_is_for_products_alone():
    types = {"dtype": jnp.float32, "compute_dtype": jnp.bfloat16}
    model, params = build(**types)
    params = jax.tree.map(lambda p: p.astype(np.float32), params)
    images = IMAGES.astype(jnp.float32)

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def slope(params):
        logits = model.apply(params, images)
        return logits.mean(), logits

    grads, logits = slope(params)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, grads, logits))} == {
        jnp.dtype(jnp.float32)
    }
    plain = jax.jit(build(dtype=jnp.float32)[0].apply)(params, images)
    difference = np.max(np.abs(logits - plain)) / np.max(np.abs(plain))
    # 8 bits: 2⁻⁸ = 0.004 for each of about ten products; and not float32 throughout.
    assert 1e-4 < difference < 0.04
    text = str(jax.make_jaxpr(model.apply)(params, images))
    products = re.findall(r":(\w+)\[[\d,]*\] = dot_general", text)
    # The embedding, and for a block four in the attention, two inside it, two behind.
    assert products == ["bf16"] * (1 + 2 * 8) + ["f32"]
    softmax = re.findall(r":(\w+)\[[\d,]*\] = exp ", text)
    assert softmax == ["f32"] * 2
    deviations = re.findall(r":(\w+)\[[\d,]*\] = sqrt ", text)
    assert deviations == ["f32"] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 3}, "patch is 3, which does not divide images of 6×4"),
        ({"patch": 4}, "patch is 4, which does not divide images of 6×4"),
        ({"heads": 5}, "heads is 5, which does not divide the width 12"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        vit(5, **(SMALL | options))


def test_images_of_another_shape_are_refused():
    model, params = build()
    with pytest.raises(ValueError, match=r"built for inputs of shape \(6, 4, 3\)"):
        jax.jit(model.apply)(params, jnp.zeros((5, 4, 6, 3)))
