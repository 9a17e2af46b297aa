"""An audit beside what is known of an optimizer by name."""

from typing import NamedTuple

from wdjax.decay.convention import Convention
from wdjax.inspect import measures
from wdjax.inspect.auditing.exponents import NAMED
from wdjax.inspect.auditing.report import Audit
from wdjax.inspect.meanings import Meaning, meaning

CLOSE = 0.02


class Comparison(NamedTuple):
    """Whether an optimizer decays as another does.

    Attributes:
        agrees: whether kind and convention are the same.
        text: in a sentence or two.
    """

    agrees: bool
    text: str


def against(found: Audit, name: str) -> Comparison:
    """Compare an audit with a meaning of weight decay.

    Args:
        found: of a factory, so that its convention is known.
        name: such as ``"pytorch:AdamW"`` or ``"paper"``; see ``wdjax convert --list``.

    Returns:
        Whether they agree, and in what they do not.

    Raises:
        ValueError: there is no such meaning, or it is no optimizer's convention.
    """
    known = meaning(name)
    if known.measure == measures.L2:
        return _with_l2(found, known)
    convention = next(
        (c for c in NAMED.values() if measures.under(c) == known.measure), None
    )
    if convention is None:
        raise ValueError(
            f"{known.name} is a quantity, not how an optimizer decays; compare with a "
            "library's optimizer (pytorch:AdamW) or with a convention (paper)."
        )
    return _with_convention(found, known, convention)


def _with_l2(found: Audit, known: Meaning) -> Comparison:
    says = f"{known.name} adds λ₂θ to the gradient"
    is_l2 = any(leaf.l2 is not None for leaf in found.per_leaf.values())
    if is_l2:
        return Comparison(True, f"{says}; so does this.")
    return Comparison(False, f"{says}; this one's decay is of the kind {found.kind}.")


def _with_convention(
    found: Audit, known: Meaning, convention: Convention
) -> Comparison:
    a, b = convention
    says = f"{known.name} decays by δ_t = λ·α^{a:g}·η_t^{b:g}, decoupled"
    if found.kind != "decoupled":
        return Comparison(
            False, f"{says}; this one's decay is of the kind {found.kind}."
        )
    fit = found.convention
    if fit is None:
        return Comparison(
            False, f"{says}; the convention of this one needs a factory to be told."
        )
    same = abs(fit.peak - a) < CLOSE and abs(fit.schedule - b) < CLOSE
    if same and fit.residual < CLOSE:
        return Comparison(True, f"{says}; so does this.")
    return Comparison(
        False, f"{says}; this one by λ·α^{fit.peak:.2g}·η_t^{fit.schedule:.2g}."
    )
