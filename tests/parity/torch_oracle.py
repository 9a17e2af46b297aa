"""PyTorch's optimizers on the problem, a row each."""

from contextlib import contextmanager
from functools import partial

import numpy as np
import torch

from tests.parity.problem import (
    B1,
    B2,
    EPS,
    MOMENTUM,
    RATES,
    RECORDED,
    SHIFTS,
    STEPS,
    THETA,
    flat,
    gradient,
)

BETAS = {"betas": (B1, B2), "eps": EPS}
# μ_t = β₁(1 − ½·0.96^{tψ}) is β₁ for large ψ: Optax's NAdam has no momentum schedule.
CONSTANT_MOMENTUM = {"momentum_decay": 1e6}
ADAGRAD = {"initial_accumulator_value": 0.1, "eps": 0.0}
ADAFACTOR = {"eps": (1e-30, 1e-3), "d": 1.0}
DECOUPLED = {"decoupled_weight_decay": True}

OPTIMIZERS = {
    "SGD": ("SGD", {}),
    "SGD momentum": ("SGD", {"momentum": MOMENTUM}),
    "SGD nesterov": ("SGD", {"momentum": MOMENTUM, "nesterov": True}),
    "Adam": ("Adam", BETAS),
    "Adam decoupled": ("Adam", {**BETAS, **DECOUPLED}),
    "AdamW": ("AdamW", BETAS),
    "NAdam": ("NAdam", {**BETAS, **CONSTANT_MOMENTUM}),
    "NAdam decoupled": ("NAdam", {**BETAS, **CONSTANT_MOMENTUM, **DECOUPLED}),
    "NAdam scheduled momentum": ("NAdam", BETAS),
    "RAdam": ("RAdam", BETAS),
    "RAdam decoupled": ("RAdam", {**BETAS, **DECOUPLED}),
    "Adamax": ("Adamax", BETAS),
    "RMSprop": ("RMSprop", {"alpha": B2, "eps": EPS}),
    "RMSprop centered": ("RMSprop", {"alpha": B2, "eps": EPS, "centered": True}),
    "Adagrad": ("Adagrad", ADAGRAD),
    "Adafactor": ("Adafactor", {**ADAFACTOR, "beta2_decay": -0.8}),
    "Adafactor without memory": ("Adafactor", {**ADAFACTOR, "beta2_decay": 0.0}),
    "Muon without gradient": ("Muon", {}),
}


def radam_eps(t):
    """ε_t = ε√(1−β₂ᵗ): RAdam's ε stands before the bias correction of v."""
    return EPS * (1 - B2**t) ** 0.5


def path(row, weight_decay):
    """Parameters after the recorded steps."""
    with _float64():
        return np.array(list(_path(row, weight_decay)))[RECORDED - 1]


def printed(call, symbols):
    """Parameters after every step of a call given as text, such as ``SGD(lr=α)``."""
    with _float64():
        return np.array(list(_printed(call, symbols)))


@contextmanager
def _float64():
    """The default dtype is that of the counters and of NAdam's product of momenta."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _printed(call, symbols):
    leaves = [torch.nn.Parameter(torch.tensor(v)) for v in THETA.values()]
    name = call.partition("(")[0]
    make = partial(getattr(torch.optim, name), leaves)
    optimizer = eval(call, {name: make, **symbols})
    for t in range(STEPS):
        optimizer.param_groups[0]["lr"] = float(RATES[t])
        for p in leaves:
            p.grad = gradient(p.detach(), SHIFTS[t])
        optimizer.step()
        yield flat(p.detach().numpy() for p in leaves)


def _path(row, weight_decay):
    name, settings = OPTIMIZERS[row]
    leaves = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in THETA.items()}
    chosen = [p for p in leaves.values() if name != "Muon" or p.ndim == 2]
    optimizer = getattr(torch.optim, name)(
        chosen, weight_decay=weight_decay, **settings
    )
    group = optimizer.param_groups[0]
    for t in range(STEPS):
        group["lr"] = float(RATES[t])
        if name == "RAdam":
            group["eps"] = radam_eps(t + 1)
        for p in chosen:
            theta = p.detach()
            p.grad = gradient(theta, SHIFTS[t])
            if name == "Muon":  # orthogonalises in bfloat16: its decay alone is exact
                p.grad = torch.zeros_like(theta)
        optimizer.step()
        yield flat(p.detach().numpy() for p in leaves.values())
