"""Residual networks, layer by layer from their parts."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wdjax.models import resnet, resnet20, wide_resnet
from wdjax.models.model import paths
from wdjax.models.residual import mean_over_positions

pytestmark = pytest.mark.slow  # large networks are compiled

SHAPE = (8, 6, 3)
KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (4, *SHAPE))
EPSILON = 0.1
# float64: sums of at most 9·64 products, ten layers and their normalisers.
ROUNDING = 1e-10
MODELS = {
    "resnet": partial(resnet, 8, 5, widths=(4, 6, 8), groups=2),
    "wide_resnet": partial(wide_resnet, 10, 2, 5),
}


def build(name, **options):
    settings = {"epsilon": EPSILON, "input_shape": SHAPE} | options
    model = MODELS[name](**settings)
    params = jax.tree.map(np.asarray, jax.jit(model.init)(KEY))
    return model, params


def moved(params):
    """Away from the zeros and ones of the initialisation."""
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    return tree.unflatten([p + 0.1 * rng.standard_normal(p.shape) for p in leaves])


def conv(x, layer, stride=1):
    return np.asarray(
        jax.lax.conv_general_dilated(
            x,
            layer["kernel"],
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    )


def norm(x, layer, kind, groups):
    if kind is None:
        return x + layer["bias"]
    if kind == "batch":
        y = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + EPSILON)
    else:
        g = x.reshape(*x.shape[:3], groups, -1)
        mean, var = (f((1, 2, 4), keepdims=True) for f in (g.mean, g.var))
        y = ((g - mean) / np.sqrt(var + EPSILON)).reshape(x.shape)
    return layer["scale"] * y + layer["bias"]


def relu(x):
    return np.maximum(x, 0)


def resnet_by_hand(params, x, kind):
    N = partial(norm, kind=kind, groups=2)
    h = relu(N(conv(x, params["stem"]), params["norm"]))
    for i, stride in enumerate((1, 2, 2)):
        block = params["blocks"][str(i)]
        y = relu(N(conv(h, block["conv_0"], stride), block["norm_0"]))
        y = N(conv(y, block["conv_1"]), block["norm_1"])
        shortcut = np.zeros_like(y)
        shortcut[..., : h.shape[-1]] = h[:, ::stride, ::stride]
        h = relu(y + shortcut)
    return h.mean((1, 2)) @ params["output"]["kernel"] + params["output"]["bias"]


def wide_resnet_by_hand(params, x, kind):
    N = partial(norm, kind=kind, groups=8)
    h = conv(x, params["stem"])
    for i, stride in enumerate((1, 2, 2)):
        block = params["blocks"][str(i)]
        a = relu(N(h, block["norm_0"]))
        y = relu(N(conv(a, block["conv_0"], stride), block["norm_1"]))
        h = conv(y, block["conv_1"]) + conv(a, block["shortcut"], stride)
    h = relu(N(h, params["norm"]))
    return h.mean((1, 2)) @ params["output"]["kernel"] + params["output"]["bias"]


BY_HAND = {"resnet": resnet_by_hand, "wide_resnet": wide_resnet_by_hand}


@pytest.mark.parametrize("normalise", ["batch", "group", None])
@pytest.mark.parametrize("name", MODELS)
def test_forward_pass_by_hand(name, normalise):
    model, params = build(name, normalise=normalise)
    params = moved(params)
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, IMAGES),
        BY_HAND[name](params, np.asarray(IMAGES), normalise),
        rtol=ROUNDING,
    )


@pytest.mark.parametrize(
    ("model", "number"),
    [
        # 3·3·(3·16 + 6·16² + 16·32 + 5·32² + 32·64 + 5·64²) in kernels,
        # 2·(7·16 + 6·32 + 6·64) beside them, 64·10 + 10 in the head.
        (resnet20(), 269_722),
        (resnet(20, normalise="group"), 269_722),
        (resnet(20, normalise=None), 269_034),  # 688 gains fewer
        (resnet(32), 464_154),  # six blocks more: 2 of each width
        (wide_resnet(28, 10), 36_479_194),
        (wide_resnet(16, 4), 2_748_890),
    ],
)
def test_the_papers_numbers_of_parameters(model, number):
    shapes = jax.eval_shape(model.init, KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == number


def test_parameters_have_the_documented_names():
    names = set(paths(jax.eval_shape(resnet20().init, KEY)))
    assert {"stem/kernel", "norm/scale", "output/kernel", "output/bias"} < names
    assert {"blocks/8/conv_1/kernel", "blocks/0/norm_0/scale"} < names
    assert not [name for name in names if "conv" in name and "bias" in name]
    names = paths(jax.eval_shape(wide_resnet(16, 1).init, KEY))
    # k = 1: the first stage keeps the stem's 16 channels.
    assert [n for n in names if "shortcut" in n] == [
        f"blocks/{i}/shortcut/kernel" for i in (2, 4)
    ]


@pytest.mark.parametrize("name", MODELS)
def test_statistics_of_a_batch_give_its_own_logits(name):
    model, params = build(name)
    params = moved(params)
    apply = jax.jit(model.apply)
    own = apply(params, IMAGES)
    statistics = jax.jit(model.collect)(params, IMAGES)
    whole = apply(params, IMAGES, statistics)
    np.testing.assert_allclose(whole, own, rtol=ROUNDING)
    # An image's logits then do not depend on the rest of its batch.
    np.testing.assert_allclose(
        apply(params, IMAGES[:1], statistics), whole[:1], rtol=ROUNDING
    )
    assert np.max(np.abs(apply(params, IMAGES[:1]) - own[:1])) > 1e-3
    stem = conv(np.asarray(IMAGES), params["stem"])
    first = statistics["norm"] if name == "resnet" else statistics["blocks"]["0"]
    first = first if name == "resnet" else first["norm_0"]
    np.testing.assert_allclose(first["mean"], stem.mean((0, 1, 2)), rtol=ROUNDING)


def test_every_layer_s_statistics_are_used():
    model, params = build("resnet")
    params = moved(params)
    apply = jax.jit(model.apply)
    statistics = jax.jit(model.collect)(params, IMAGES)
    logits = apply(params, IMAGES, statistics)
    leaves, tree = jax.tree.flatten(statistics)
    assert len(leaves) == 2 * 7
    for i in range(len(leaves)):
        other = tree.unflatten([s + (i == j) for j, s in enumerate(leaves)])
        assert np.max(np.abs(apply(params, IMAGES, other) - logits)) > 1e-4


@pytest.mark.parametrize("missing", ["norm", "blocks"])
def test_statistics_of_another_model_are_refused_by_name(missing):
    model, params = build("resnet")
    statistics = jax.jit(model.collect)(params, IMAGES)
    del statistics[missing]
    with pytest.raises(ValueError, match=rf"do not belong.*{missing}/.*mean"):
        jax.jit(model.apply)(params, IMAGES, statistics)


@pytest.mark.parametrize("normalise", ["group", None])
def test_only_batch_normalisation_has_statistics_to_collect(normalise):
    assert build("resnet", normalise=normalise)[0].collect is None
    assert build("resnet")[0].collect is not None


@pytest.mark.parametrize("name", MODELS)
def test_without_normalisation_blocks_begin_as_their_shortcuts(name):
    model, params = build(name, normalise=None)
    for block in params["blocks"].values():
        assert not np.any(block["conv_1"]["kernel"])
        assert np.any(block["conv_0"]["kernel"])
    silent = jax.tree.map(np.copy, params)
    for block in silent["blocks"].values():
        block["conv_0"]["kernel"][...] = 0
    apply = jax.jit(model.apply)
    np.testing.assert_array_equal(apply(params, IMAGES), apply(silent, IMAGES))


def test_without_normalisation_first_kernels_shrink_with_the_depth():
    """He's variance 2/(9·64), over L = 9 and 27 blocks."""
    for depth, blocks in ((20, 9), (56, 27)):
        init = jax.jit(resnet(depth, widths=(64, 64, 64), normalise=None).init)
        kernel = np.asarray(init(KEY)["blocks"]["1"]["conv_0"]["kernel"])
        # Relative error of a variance √(2/N) at most; four standard errors.
        tolerance = 4 * np.sqrt(2 / kernel.size)
        np.testing.assert_allclose(kernel.var(), 2 / (9 * 64 * blocks), rtol=tolerance)


@pytest.mark.parametrize("normalise", ["batch", "group", None])
@pytest.mark.parametrize("name", MODELS)
def test_a_few_steps_of_descent_fit_four_images(name, normalise):
    model, params = build(name, normalise=normalise)
    labels = jnp.arange(4)

    def loss(params):
        log_p = jax.nn.log_softmax(model.apply(params, IMAGES))
        return -jnp.mean(log_p[jnp.arange(4), labels])

    @jax.jit
    def descend(params):
        def step(params, _):
            value, g = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.05 * g, params, g), value

        return jax.lax.scan(step, params, length=40)[1]

    losses = descend(params)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_is_for_the_convolutions_alone(name):
    dtypes = {"dtype": jnp.float32, "compute_dtype": jnp.bfloat16}
    model, params = build(name, **dtypes)
    images = IMAGES.astype(jnp.float32)

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def slope(params):
        logits = model.apply(params, images)
        return logits.mean(), logits

    grads, logits = slope(params)
    everything = (params, grads, logits, jax.jit(model.collect)(params, images))
    assert {leaf.dtype for leaf in jax.tree.leaves(everything)} == {
        jnp.dtype(jnp.float32)
    }
    plain = jax.jit(build(name, dtype=jnp.float32)[0].apply)(params, images)
    difference = np.max(np.abs(logits - plain)) / np.max(np.abs(plain))
    # 8 bits: 2⁻⁸ = 0.004 for each of at most ten layers; and not float32 throughout.
    assert 1e-4 < difference < 0.04
    text = str(jax.make_jaxpr(model.apply)(params, images))
    products = re.findall(r":(\w+)\[[\d,]*\] = (?:dot|conv)_general", text)
    convolutions = sum("conv" in i or "stem" in i or "cut/" in i for i in paths(params))
    assert products == ["bf16"] * convolutions + ["f32"]


def test_the_mean_over_positions_has_more_bits_than_bfloat16():
    h = jnp.asarray([1.0, 1.0078125], jnp.bfloat16).reshape(1, 2, 1, 1)
    mean = mean_over_positions(h, jnp.float32)
    np.testing.assert_array_equal(mean, [[1.00390625]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resnet(21), r"depth is 21; it must be 6n \+ 2.*such as 20"),
        (lambda: resnet(2), r"depth is 2;.*such as 8"),
        (lambda: wide_resnet(20), r"depth is 20; it must be 6n \+ 4.*such as 16"),
        (lambda: resnet20(normalise="layer"), "normalise is 'layer'"),
        (lambda: resnet20(normalise="group", groups=5), "groups is 5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_images_of_another_shape_are_refused():
    for name in MODELS:
        model, params = build(name)
        with pytest.raises(ValueError, match=r"built for inputs of shape \(8, 6, 3\)"):
            jax.jit(model.apply)(params, jnp.zeros((5, 6, 8, 3)))
