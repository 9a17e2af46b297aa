"""What `scripts/bench step` times: every decay, and the base it is measured against."""

from collections.abc import Callable
from typing import Any, NamedTuple

RATE, LAM = 1e-3, 1e-2
ADAPTIVE = (
    *("adam", "nadam", "radam", "adamax", "rmsprop"),
    *("adagrad", "lion", "muon", "adafactor"),
)
ENTRANCES = ("adam_l2_first_moment", "adam_l2_second_moment", "adam_l2_unbuffered")
NOTHING = "nothing"
STATE_BYTES = {"to the start": 4.0, "to a point": 4.0, "to an average": 4.0}


class Variant(NamedTuple):
    """A decay and what it is measured against.

    Attributes:
        name: of the optimizer.
        base: the name of what it is measured against.
        state_bytes: that it reads beside its base's, for each parameter.
        dtype: of the parameters.
        limit: times its base's time, before the read.
    """

    name: str
    base: str
    state_bytes: float = 0.0
    dtype: str = "float32"
    limit: float = 1.15


def makers(point: Any) -> dict[str, Callable[[], Any]]:
    """Every contender, by name; ``point`` is where one of them is pulled to."""
    return bases() | pairs() | behind_sgd(point) | others()


def bases() -> dict[str, Callable[[], Any]]:
    """What decays are measured against."""
    import optax

    plain = {
        "adam": optax.adam,
        "nadam": optax.nadam,
        "radam": optax.radam,
        "adamax": optax.adamax,
        "rmsprop": optax.rmsprop,
        "adagrad": optax.adagrad,
        "lion": lambda rate: optax.lion(rate, weight_decay=0.0),
        "muon": optax.contrib.muon,
        "adafactor": optax.adafactor,
    }

    def bare(make: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: make(RATE)

    def penalised(make: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: optax.chain(optax.add_decayed_weights(LAM), make(RATE))

    return {
        **{f"optax.{name}": bare(make) for name, make in plain.items()},
        **{f"optax, L2, {name}": penalised(make) for name, make in plain.items()},
        NOTHING: optax.set_to_zero,
        "optax.adamw": lambda: optax.adamw(RATE, weight_decay=LAM),
        "optax.sgd": bare(optax.sgd),
        "optax.sgd, momentum": lambda: optax.sgd(RATE, 0.9),
        "optax.lamb": lambda: optax.lamb(RATE, weight_decay=LAM),
        "optax.lars": lambda: optax.lars(RATE, weight_decay=LAM),
    }


def pairs() -> dict[str, Callable[[], Any]]:
    """The named chains."""
    import wdjax

    def chain(name: str, **settings: Any) -> Callable[[], Any]:
        return lambda: getattr(wdjax, name)(RATE, LAM, **settings)

    momentum = {"momentum": 0.9}
    return {
        **{f"{base}w": chain(f"{base}w") for base in ADAPTIVE},
        **{f"{base}_l2": chain(f"{base}_l2") for base in ADAPTIVE},
        "adamw, one pass": one_pass_adamw,
        "sgdw": chain("sgdw", momentum=None),
        "sgd_l2": chain("sgd_l2", momentum=None),
        "sgdw, momentum": chain("sgdw", **momentum),
        "sgd_l2, momentum": chain("sgd_l2", **momentum),
        "sgdw_velocity": chain("sgdw_velocity", **momentum),
        "sgd_l2_velocity": chain("sgd_l2_velocity", **momentum),
        "sgds": chain("sgds", **momentum),
        **{name: chain(name) for name in (*ENTRANCES, "lamb", "lars", "adams")},
    }


def behind_sgd(point: Any) -> dict[str, Callable[[], Any]]:
    """Places, pulls, targets and gates, where nothing else costs."""
    import optax

    import wdjax
    from wdjax import gate, pull, target

    delta = RATE * LAM

    def axis(**choices: Any) -> Callable[[], Any]:
        return lambda: wdjax.with_weight_decay(optax.sgd(RATE), delta, **choices)

    def place(decay: Any, **choices: Any) -> Callable[[], Any]:
        return lambda: optax.chain(optax.sgd(RATE), decay(delta, **choices))

    after, proximally = wdjax.decay_weights_after, wdjax.decay_weights_proximally
    return {
        "after": place(after),
        "proximal": place(proximally),
        "l1": axis(pull=pull.l1),
        "l1, proximal": place(proximally, pull=pull.l1),
        "p-norm": axis(pull=pull.p_norm(1.5)),
        "p-norm, proximal": place(proximally, pull=pull.p_norm(1.5)),
        "elastic net": axis(pull=pull.elastic_net(0.5)),
        "hyperbolic": axis(pull=pull.hyperbolic(1.0)),
        "exponential": axis(pull=pull.exponential(1.0)),
        "weight elimination": axis(pull=pull.weight_elimination(1.0)),
        "to the start": axis(target=target.initial),
        "to a point": axis(target=target.towards(point)),
        "to an average": axis(target=target.average(0.99)),
        "to a norm": axis(target=target.norm(1.0)),
        "cautious": axis(gate=gate.cautious()),
        "stochastic": axis(gate=gate.stochastic(0.5, 0)),
    }


def others() -> dict[str, Callable[[], Any]]:
    """Rates that look at gradients, norm control, precision."""
    import optax

    import wdjax
    from wdjax import precision

    def around(wrap: Callable[..., Any], *more: Any) -> Callable[[], Any]:
        decayed = wdjax.with_weight_decay
        return lambda: wrap(decayed(optax.sgd(RATE), RATE * LAM), *more)

    def chained(decay: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: optax.chain(optax.sgd(RATE), decay())

    return {
        "stable": lambda: wdjax.with_stable_weight_decay(optax.sgd(RATE), RATE * LAM),
        "CPR": chained(lambda: wdjax.constrain_norm(wdjax.bound.fixed(1e-6))),
        "held norm": chained(wdjax.hold_norm),
        "hyperball": chained(lambda: wdjax.hyperball(1e-3)),
        "rotated": chained(lambda: wdjax.rotate_weights(1e-3)),
        "master weights": around(precision.with_master_weights),
        "error feedback": around(precision.with_error_feedback),
        "stochastic rounding": around(precision.with_stochastic_rounding, 0),
    }


def one_pass_adamw() -> Any:
    """AdamW whose step reads only what came in: three outputs that XLA can merge.

    The step is computed from moments of its own, equal to the new ones but for
    rounding, so that it consumes no other output.
    """
    import jax.numpy as jnp
    import optax

    import wdjax

    def init(params: Any) -> Any:
        return (jnp.zeros((), jnp.int32), jnp.zeros_like(params), 0 * params)

    def update(g: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count, m, v = state
        count = count + 1
        new_m, new_v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
        m_hat, v_hat = m / (1 - 0.9**count), v / (1 - 0.999**count)
        u = -RATE * m_hat / (jnp.sqrt(v_hat) + 1e-8)
        return u, (count, new_m, new_v)

    adam = optax.GradientTransformation(init, update)
    return optax.chain(adam, wdjax.decay_weights(RATE * LAM))


VARIANTS = (
    Variant("adamw", "optax.adamw", limit=1.02),
    *(Variant(f"{base}_l2", f"optax, L2, {base}", limit=1.02) for base in ADAPTIVE),
    *(
        Variant(f"{base}{place}", f"optax.{base}")
        for base in ADAPTIVE
        for place in ("w", "_l2")
    ),
    *(Variant(name, "optax.adam") for name in (*ENTRANCES, "adams")),
    Variant("lamb", "optax.lamb"),
    Variant("lars", "optax.lars"),
    *(
        Variant(name, "optax.sgd, momentum")
        for name in (
            "sgdw, momentum",
            "sgd_l2, momentum",
            "sgdw_velocity",
            "sgd_l2_velocity",
            "sgds",
        )
    ),
    *(
        Variant(name, "optax.sgd", STATE_BYTES.get(name, 0.0))
        for name in (
            *("sgdw", "sgd_l2", "after", "proximal", "l1", "l1, proximal", "p-norm"),
            *("p-norm, proximal", "elastic net", "hyperbolic", "exponential"),
            *("weight elimination", "to the start", "to a point", "to an average"),
            *("to a norm", "cautious", "stochastic", "stable", "CPR"),
            *("held norm", "hyperball", "rotated"),
        )
    ),
    *(
        Variant(name, "sgdw", state, "bfloat16")
        for name, state in {
            "master weights": 4.0,
            "error feedback": 2.0,
            "stochastic rounding": 0.0,
        }.items()
    ),
)
"""Every decay with its base; those with an equal in Optax may take 1.02 of its time."""
