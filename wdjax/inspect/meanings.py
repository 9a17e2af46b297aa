"""What people mean by a weight decay of 0.1: a row for each meaning.

The rows are data; :func:`meaning` finds one by its name.
"""

import difflib
import textwrap
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from wdjax import catalogue
from wdjax.decay import convention
from wdjax.decay.convention import Convention
from wdjax.inspect import measures
from wdjax.inspect.measures import Measure

ANY = ""


class Meaning(NamedTuple):
    """What a number is, and whose.

    Attributes:
        name: to ask for it by.
        measure: what it says.
        base: the optimizer that it belongs to; empty where it fits any.
        who: who uses it, or where it comes from.
    """

    name: str
    measure: Measure
    base: str = ANY
    who: str = ""


Sense: TypeAlias = Meaning | Convention | str
"""A meaning, however it is given."""


def _library(library: str, measure: Measure, **bases: str) -> tuple[Meaning, ...]:
    """Rows ``library:name``, with the base of each."""
    return tuple(
        Meaning(f"{library}:{name}", measure, base) for name, base in bases.items()
    )


_OPTAX = measures.under(convention.OPTAX)
_PAPER = measures.under(convention.PAPER)
_CONSTANT = measures.under(convention.CONSTANT)
VELOCITY = ("SGD", "sgd_l2_velocity", "sgdw_velocity")

MEANINGS: tuple[Meaning, ...] = (
    Meaning(
        "optax", _OPTAX, who="decoupled decay of Optax; timm *w, levanter, MaxText"
    ),
    Meaning("pytorch", _OPTAX, who="decoupled decay of PyTorch"),
    Meaning("keras", _OPTAX, who="weight_decay= of every Keras 3 optimizer"),
    Meaning("paper", _PAPER, who="Loshchilov & Hutter 2019, Algorithms 1 and 2"),
    Meaning("constant", _CONSTANT, who="Hanson & Pratt 1988; fixed_decay of kozistr"),
    Meaning(
        "corrected",
        measures.under(convention.CORRECTED),
        who="AdamC, on normalised layers: Defazio 2025, timm, HeavyBall",
    ),
    Meaning(
        "squared",
        measures.under(convention.SQUARED),
        who="schedule-free AdamC, modded-nanogpt",
    ),
    Meaning("decay_rate", measures.DECAY_RATE, who="at the peak of a schedule"),
    Meaning(
        "normalised",
        measures.NORMALISED,
        who="Loshchilov & Hutter 2019, appendix B.1; keras-adamw",
    ),
    Meaning(
        "timescale:steps", measures.TIMESCALE_IN_STEPS, who="Wang & Aitchison 2024"
    ),
    Meaning("timescale:samples", measures.TIMESCALE_IN_SAMPLES),
    Meaning(
        "timescale:epochs", measures.TIMESCALE_IN_EPOCHS, who="Wang & Aitchison 2024"
    ),
    Meaning("half-life:steps", measures.HALF_LIFE_IN_STEPS, who="without a gradient"),
    Meaning("half-life:epochs", measures.HALF_LIFE_IN_EPOCHS, who="without a gradient"),
    Meaning("budget", measures.BUDGET, who="−ln of what is left of θ, nearly"),
    Meaning("rotation:adam", measures.ADAM_ROTATION, "Adam", "Kosson et al. 2024"),
    Meaning("rotation:sgd", measures.SGD_ROTATION, "SGD", "Kosson et al. 2024"),
    Meaning("rms:adam", measures.ADAM_RMS, "Adam", "Kosson et al. 2024"),
    Meaning("norm:sgd", measures.SGD_NORM, "SGD", "Kosson et al. 2024"),
    Meaning("l2", measures.L2, who="an L2 penalty; wdjax.add_l2"),
    Meaning("keras:L2", measures.KERAS_L2, who="keras.regularizers.L2"),
    *_library(
        "pytorch",
        measures.L2,
        **{name: name for name in ("SGD", "Adam", "NAdam", "RAdam", "Adamax")},
        **{name: name for name in ("Adagrad", "Adadelta", "RMSprop")},
    ),
    *_library("pytorch", _OPTAX, AdamW="Adam", Adafactor="Adafactor", Muon="Muon"),
    *_library("optax", _OPTAX, adamw="Adam", nadamw="NAdam", adamaxw="Adamax"),
    *_library("optax", _OPTAX, adan="Adan", lion="Lion", muon="Muon"),
    *_library("optax", _CONSTANT, adafactor="Adafactor"),
    *_library("optax", measures.L2, adadelta="Adadelta"),
    *_library("keras", _OPTAX, SGD="SGD", Adam="Adam", AdamW="Adam", Nadam="NAdam"),
    *_library("keras", _OPTAX, Adamax="Adamax", Adagrad="Adagrad", Adadelta="Adadelta"),
    *_library("keras", _OPTAX, RMSprop="RMSprop", Lion="Lion", Adafactor="Adafactor"),
    *(
        Meaning(f"wdjax:{name}", measure, base)
        for base, l2, decay in (*catalogue.PAIRS, VELOCITY)
        for name, measure in ((l2, measures.L2), (decay, _OPTAX))
    ),
    *_library("composer", _PAPER, DecoupledAdamW="Adam", DecoupledSGDW="SGD"),
    *_library("axlearn", _PAPER, adamw_decoupled_optimizer="Adam"),
    *_library("facebookresearch", _PAPER, INDEPENDENT=ANY),
    Meaning("big_vision", _PAPER),
    Meaning("scenic", _PAPER),
    Meaning("keras-adamw", measures.NORMALISED, "Adam"),
)

TRUST_RATIO = (
    "its decay stands inside the trust ratio, which scales a step to the norm of the "
    "weights: what it removes depends on the run"
)
LEARNED = (
    "its decay is multiplied by a step size that training learns: what it removes is "
    "known afterwards only"
)
WITHOUT_CONVERSION = MappingProxyType(
    {
        "optax:lamb": TRUST_RATIO,
        "optax:lars": TRUST_RATIO,
        "wdjax:lamb": TRUST_RATIO,
        "wdjax:lars": TRUST_RATIO,
        "optax:prodigy": LEARNED,
        "optax:dadapt_adamw": LEARNED,
        "optax:mechanize": "it never decays: λ only tunes the step size that it learns",
        "optax:novograd": (
            "its decay enters the momentum behind the preconditioner, neither in the "
            "loss nor decoupled"
        ),
        "optax:add_decayed_weights": (
            "its place decides: first in a chain it is 'l2', between a preconditioner "
            "and the learning rate 'optax', behind the learning rate it makes weights "
            "grow"
        ),
        "wdjax:adams": (
            "its decay is divided by a running norm of the gradient: what it removes "
            "depends on the run"
        ),
        "cautious": (
            "its gate opens by the signs of step and weight: what it removes depends "
            "on the run"
        ),
    }
)
"""Names that people will try, and why no number belongs to them."""

_BY_NAME = {row.name.lower(): row for row in MEANINGS}
_BY_MEASURE = {row.measure: row for row in reversed(MEANINGS) if row.base == ANY}


def meaning(sense: Sense) -> Meaning:
    """The row of a name, in capitals or not, or of a convention.

    Args:
        sense: such as ``"pytorch:AdamW"``, ``wdjax.PAPER`` or
            ``wdjax.Convention(0.5, 1)``; a row is itself.

    Returns:
        The row.

    Raises:
        ValueError: the name is unknown, or has no conversion.
    """
    if isinstance(sense, Meaning):
        return sense
    if isinstance(sense, Convention):
        measure = measures.under(sense)
        name = f"Convention(peak={sense.peak:g}, schedule={sense.schedule:g})"
        return _BY_MEASURE.get(measure, Meaning(name, measure))
    if not isinstance(sense, str):
        raise ValueError(
            f"{sense!r} is no meaning of weight decay; give a name such as "
            "'pytorch:AdamW' or a wdjax.Convention such as wdjax.PAPER."
        )
    found = _BY_NAME.get(sense.lower())
    if found is not None:
        return found
    reason = WITHOUT_CONVERSION.get(sense.lower())
    if reason is not None:
        raise ValueError(f"{sense} cannot be converted: {reason}.")
    raise ValueError(
        f"No meaning of weight decay is named {sense!r}. {_suggestion(sense)}"
        "`wdjax convert --list` shows them all."
    )


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), _BY_NAME, n=3, cutoff=0.6)
    if not near:
        return ""
    return f"Did you mean {' or '.join(repr(_BY_NAME[n].name) for n in near)}? "


def as_text() -> str:
    """The meanings in plain text: what each says, and below it who says so."""
    measures_ = dict.fromkeys(row.measure for row in MEANINGS)
    refused = [_wrapped(f"{n}: {reason}") for n, reason in WITHOUT_CONVERSION.items()]
    return "\n\n".join(
        [*map(_paragraph, measures_), "\n".join(["Without conversion", *refused])]
    )


def _paragraph(measure: Measure) -> str:
    rows = [row for row in MEANINGS if row.measure is measure]
    needs = f", needs {', '.join(measure.needs)}" if measure.needs else ""
    lines = [measure.formula, f"  [{measure.exactness}{needs}]"]
    lines += [f"  {row.name:18} {row.who}" for row in rows if row.who]
    others = ", ".join(row.name for row in rows if not row.who)
    return "\n".join([*lines, *([_wrapped(others)] if others else [])])


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, 88, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )
