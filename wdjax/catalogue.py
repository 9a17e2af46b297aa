"""Every weight decay of the package, a row each: for looking things up.

``print(wdjax.catalogue.as_markdown())`` prints the table. Symbols are the README's; s
is the optimizer's own step, so that without decay θ ← θ + s, p = θ + s the point it
leads to, and x = θ − target.
"""

from typing import NamedTuple

from wdjax.decay.combine import REFUSED


class Row(NamedTuple):
    """One decay.

    Attributes:
        decay: what people call it.
        update: in one line.
        code: an expression that makes it: a transformation, or a rate for one.
        paper: where it comes from.
        elsewhere: who else has it.
    """

    decay: str
    update: str
    code: str
    paper: str
    elsewhere: str


ROWS = (
    # places
    Row(
        "L2 penalty",
        "g ← g + λ₂θ",
        "wdjax.add_l2(λ)",
        "Hoerl & Kennard 1970 (ridge)",
        "torch SGD, Adam, …; `optax.add_decayed_weights` put first; Keras `L2`",
    ),
    Row(
        "decoupled weight decay",
        "θ ← (1 − δ)θ + s",
        "wdjax.decay_weights(δ)",
        "Hanson & Pratt 1988; Loshchilov & Hutter 2019",
        "torch AdamW, Optax `*w`, Keras `weight_decay`",
    ),
    Row(
        "decay after the step",
        "θ ← (1 − δ)(θ + s)",
        "wdjax.decay_weights_after(δ)",
        "—",
        "legacy Hugging Face AdamW, timm LaProp",
    ),
    Row(
        "proximal decay",
        "θ ← (θ + s)/(1 + δ)",
        "wdjax.decay_weights_proximally(δ)",
        "Zhuang et al. 2022 (AdamProx)",
        "Adan",
    ),
    Row(
        "decay inside the trust ratio",
        "θ ← θ − α·ratio·(r + λθ)",
        "wdjax.lamb(α, λ)",
        "You et al. 2019 (LAMB)",
        "`optax.lamb`, timm",
    ),
    Row(
        "the same around momentum",
        "m ← βm + ratio·α(g + λθ)",
        "wdjax.lars(α, λ)",
        "You et al. 2017 (LARS)",
        "`optax.lars`",
    ),
    Row(
        "Adam, λθ in both moments",
        "m, v from g + λ₂θ",
        "wdjax.adam_l2(α, λ)",
        "Loshchilov & Hutter 2019, Algorithm 2, pink",
        "torch Adam",
    ),
    Row(
        "Adam, in the first only",
        "m from g + λ₂θ, v from g",
        "wdjax.adam_l2_first_moment(α, λ)",
        "Bjorck et al. 2021",
        "—",
    ),
    Row(
        "Adam, in the second only",
        "m from g, v from g + λ₂θ",
        "wdjax.adam_l2_second_moment(α, λ)",
        "Bjorck et al. 2021",
        "—",
    ),
    Row(
        "Adam, preconditioned but unbuffered",
        "θ ← θ − α(m̂ + λ₂θ)/(√v̂ + ε)",
        "wdjax.adam_l2_unbuffered(α, λ)",
        "Bjorck et al. 2021",
        "—",
    ),
    Row(
        "Adam, decoupled",
        "θ ← (1 − δ)θ − αm̂/(√v̂ + ε)",
        "wdjax.adamw(α, λ)",
        "Loshchilov & Hutter 2019, Algorithm 2, green",
        "everybody",
    ),
    Row(
        "SGD, learning rate inside the momentum, L2",
        "s ← βs − α(g + λ₂θ), θ ← θ + s",
        "wdjax.sgd_l2_velocity(α, λ)",
        "Loshchilov & Hutter 2019, Algorithm 1, pink",
        "Keras SGD with `L2`",
    ),
    Row(
        "SGD, learning rate inside the momentum, decay",
        "s ← βs − αg, θ ← (1 − δ)θ + s",
        "wdjax.sgdw_velocity(α, λ)",
        "Loshchilov & Hutter 2019, Algorithm 1, green",
        "Keras SGD",
    ),
    # rates
    Row(
        "normalised decay",
        "δ_t = λ_norm·η_t/√S, S the steps of the current restart",
        "wdjax.rate.normalised(λ, [100, 200])",
        "Loshchilov & Hutter 2019, appendix B.1",
        "keras-adamw",
    ),
    Row(
        "decay from a timescale",
        "δ_t = η_t/τ; τ in steps, samples or epochs",
        "wdjax.rate.from_timescale_in_epochs(2.0, 50_000, 128)",
        "Wang & Aitchison 2024",
        "—",
    ),
    Row(
        "early-only decay",
        "δ_t·1[t < t₀]",
        "wdjax.rate.early(δ, 100)",
        "Golatkar et al. 2019; Bjorck et al. 2021",
        "—",
    ),
    Row(
        "late-only decay",
        "δ_t·1[t ≥ t₀]",
        "wdjax.rate.late(δ, 1)",
        "Golatkar et al. 2019",
        "—",
    ),
    Row(
        "corrected decay (AdamC)",
        "δ_t = λα_t²/α on normalised layers, λα_t elsewhere",
        "wdjax.with_corrected_weight_decay(optax.adam(α), λ, α, "
        "normalised=wdjax.where.matrices)",
        "Defazio 2025",
        "timm, HeavyBall",
    ),
    Row(
        "stable, or scheduled, decay (AdamS, SWD)",
        "δ_t = λα_t/√(mean of v̂)",
        "wdjax.with_stable_weight_decay(optax.adam(α), δ)",
        "Xie et al. 2023",
        "pytorch_optimizer",
    ),
    Row(
        "stable decay for SGD (SGDS)",
        "δ_t = λα_t(1 − damping)/(1 − β)",
        "wdjax.sgds(α, λ, momentum=0.9)",
        "Xie et al. 2020",
        "pytorch_optimizer",
    ),
    # pulls
    Row(
        "L1, subgradient",
        "θ ← θ − δ·sign(θ) + s",
        "wdjax.decay_weights(δ, pull=wdjax.pull.l1)",
        "Tibshirani 1996",
        "Keras `L1` (in the loss)",
    ),
    Row(
        "L1, soft threshold",
        "θ ← sign(p)·max(|p| − δ, 0)",
        "wdjax.decay_weights_proximally(δ, pull=wdjax.pull.l1)",
        "Donoho 1995",
        "—",
    ),
    Row(
        "p-norm decay",
        "θ ← p/(1 + δ|θ|^(q−2)), q the norm's exponent",
        "wdjax.decay_weights_proximally(δ, pull=wdjax.pull.p_norm(1.5))",
        "Outmezguine & Levi 2024",
        "their PAdam",
    ),
    Row(
        "elastic net",
        "θ ← soft(p, δ·ρ₁)/(1 + δ·(1 − ρ₁)), ρ₁ the share of L1",
        "wdjax.decay_weights_proximally(δ, pull=wdjax.pull.elastic_net(0.5))",
        "Zou & Hastie 2005",
        "Keras `L1L2` (in the loss)",
    ),
    Row(
        "hyperbolic bias",
        "g ← g + λ·sign(θ)·σ/(σ + |θ|)²",
        "wdjax.add_l2(λ, pull=wdjax.pull.hyperbolic(1.0))",
        "Hanson & Pratt 1988",
        "—",
    ),
    Row(
        "exponential bias",
        "g ← g + λ·sign(θ)·exp(−|θ|/σ)/σ",
        "wdjax.add_l2(λ, pull=wdjax.pull.exponential(1.0))",
        "Hanson & Pratt 1988",
        "—",
    ),
    Row(
        "weight elimination",
        "g ← g + λ·2θσ²/(σ² + θ²)²",
        "wdjax.add_l2(λ, pull=wdjax.pull.weight_elimination(1.0))",
        "Weigend et al. 1990",
        "—",
    ),
    Row(
        "scale-adjusted L2",
        "g ← g + λ₂·w⊙θ, w a tree of strengths",
        "wdjax.add_l2(λ, where=w)",
        "Loshchilov & Hutter 2019, Proposition 3",
        "—",
    ),
    Row(
        "layer-wise decay",
        "δ·f^(L−1−i) in layer i of L",
        "wdjax.decay_weights(δ, "
        r'where=wdjax.where.layer_wise(r"blocks/(\d+)/.*", 0.8))',
        "—",
        "timm (for the learning rate)",
    ),
    # targets
    Row(
        "L2-SP",
        "g ← g + λ₂(θ − θ₀), new leaves g + λ₂′θ",
        'wdjax.l2_sp(λ, λ, new="bias")',
        "Li et al. 2018",
        "—",
    ),
    Row(
        "decay towards the start",
        "θ ← θ − δ(θ − θ₀) + s",
        "wdjax.decay_weights(δ, target=wdjax.target.initial)",
        "Li et al. 2018",
        "HeavyBall",
    ),
    Row(
        "the same, new leaves to the origin",
        "θ ← θ − δ(θ − θ₀) + s, new leaves (1 − δ′)θ + s",
        'wdjax.decay_sp(δ, δ, new="bias")',
        "Li et al. 2018",
        "—",
    ),
    Row(
        "decay towards an average",
        "θ ← θ − δ(θ − θ̄_t) + s, θ̄ a running mean",
        "wdjax.decay_weights(δ, target=wdjax.target.average(0.999))",
        "—",
        "HeavyBall",
    ),
    Row(
        "decay towards a given point",
        "θ ← θ − δ(θ − c) + s, c a tree",
        "wdjax.decay_weights(δ, target=wdjax.target.towards(c))",
        "—",
        "—",
    ),
    Row(
        "weight norm control",
        "θ ← θ − δ(1 − ‖θ₀‖/‖θ‖)θ + s",
        "wdjax.decay_weights(δ, target=wdjax.target.initial_norm())",
        "Loshchilov 2023",
        "—",
    ),
    # gates
    Row(
        "cautious decay",
        "θ ← θ − δ·1[s·x ≤ 0]·x + s, by signs, ties as you say",
        "wdjax.decay_weights(δ, gate=wdjax.gate.cautious(ties=True))",
        "Chen et al. 2025",
        "HeavyBall, pytorch_optimizer, modded-nanogpt",
    ),
    Row(
        "stochastic decay",
        "θ ← θ − δ·(b/π)·θ + s, b ~ Bernoulli(π)",
        "wdjax.decay_weights(δ, gate=wdjax.gate.stochastic(0.5))",
        "—",
        "—",
    ),
    # norms
    Row(
        "constrained parameter regularisation (CPR)",
        "μ ← [μ + γ(R(p) − κ)]₊, θ ← (1 − 2μ)p, R the mean square",
        "wdjax.constrain_norm(wdjax.bound.fixed(0.1))",
        "Franke et al. 2024",
        "automl/CPR",
    ),
    Row(
        "held norm",
        "θ ← ‖θ₀‖·p/‖p‖",
        "wdjax.hold_norm()",
        "Wen et al. 2026, the weight half",
        "HeavyBall",
    ),
    Row(
        "hyperball",
        "p ← θ + φ‖θ‖·s/‖s‖, θ ← ‖θ₀‖·p/‖p‖",
        "wdjax.hyperball(0.01)",
        "Wen et al. 2026",
        "—",
    ),
    Row(
        "rotational steps",
        "the same with the tangential part of s alone",
        "wdjax.rotate_weights(0.01)",
        "Kosson et al. 2023",
        "epfml/REQ",
    ),
    # precision
    Row(
        "decay on master weights",
        "θ ← round(θ₃₂), θ₃₂ kept: 4 bytes a weight",
        "wdjax.precision.with_master_weights(wdjax.adamw(α, λ))",
        "Micikevicius et al. 2018",
        "NVIDIA Apex",
    ),
    Row(
        "decay with error feedback",
        "e ← θ + e + s − round(θ + e + s): 2 bytes a weight",
        "wdjax.precision.with_error_feedback(wdjax.adamw(α, λ))",
        "Zamirai et al. 2021",
        "optimi, HeavyBall",
    ),
    Row(
        "decay with stochastic rounding",
        "θ ← up or down, right on average: no memory",
        "wdjax.precision.with_stochastic_rounding(wdjax.adamw(α, λ), 0)",
        "Zamirai et al. 2021",
        "HeavyBall",
    ),
)
"""Every decay, by what sets it apart: place, rate, pull, target, gate, norm, dtype."""

PAIRS = (
    ("SGD", "sgd_l2", "sgdw"),
    ("Adam", "adam_l2", "adamw"),
    ("NAdam", "nadam_l2", "nadamw"),
    ("RAdam", "radam_l2", "radamw"),
    ("Adamax", "adamax_l2", "adamaxw"),
    ("RMSprop", "rmsprop_l2", "rmspropw"),
    ("Adagrad", "adagrad_l2", "adagradw"),
    ("Adafactor", "adafactor_l2", "adafactorw"),
    ("Lion", "lion_l2", "lionw"),
    ("Muon", "muon_l2", "muonw"),
)
"""Bases with a named chain for the pull in front and one for the pull behind."""


def as_markdown() -> str:
    """The catalogue as a Markdown table."""
    lines = ["| decay | update | here | paper | elsewhere |", "|---|---|---|---|---|"]
    lines += [
        f"| {_cell(row.decay)} | {_cell(row.update)} | `{_cell(row.code)}` "
        f"| {_cell(row.paper)} | {_cell(row.elsewhere)} |"
        for row in ROWS
    ]
    return "\n".join(lines)


def pairs_as_markdown() -> str:
    """The named pairs as a Markdown table."""
    lines = ["| base | L2 in front | decay behind |", "|---|---|---|"]
    lines += [f"| {base} | `{l2}` | `{decay}` |" for base, l2, decay in PAIRS]
    return "\n".join(lines)


def refused_as_markdown() -> str:
    """The combinations that make no sense, as a Markdown table."""
    lines = ["| refused together | why, and what to do |", "|---|---|"]
    lines += [f"| {_cell(r.combination)} | {_cell(r.reason)} |" for r in REFUSED]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
