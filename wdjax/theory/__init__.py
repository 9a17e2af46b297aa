"""Closed forms: pure functions of arrays, one equation each."""

from wdjax.theory import equilibrium as equilibrium
from wdjax.theory import quadratic as quadratic
from wdjax.theory import scale_invariant as scale_invariant
from wdjax.theory import stationary as stationary
