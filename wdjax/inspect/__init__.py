"""Instruments: what a weight decay means, and what an optimizer makes of it."""

from wdjax.inspect.auditing import Audit, audit
from wdjax.inspect.auditing.against import Comparison, against
from wdjax.inspect.conversion import Converted, convert
from wdjax.inspect.diagnosis import Diagnosis
from wdjax.inspect.examination import doctor
from wdjax.inspect.findings import KINDS, Finding
from wdjax.inspect.meanings import MEANINGS, WITHOUT_CONVERSION, Meaning, meaning
from wdjax.inspect.probe import ProbeState, probe, readings
from wdjax.inspect.reading import Reading

__all__ = [
    "KINDS",
    "MEANINGS",
    "WITHOUT_CONVERSION",
    "Audit",
    "Comparison",
    "Converted",
    "Diagnosis",
    "Finding",
    "Meaning",
    "ProbeState",
    "Reading",
    "against",
    "audit",
    "convert",
    "doctor",
    "meaning",
    "probe",
    "readings",
]
