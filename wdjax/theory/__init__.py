"""Closed forms: pure functions of arrays, one equation each."""

from wdjax.theory import annealing as annealing
from wdjax.theory import averaging as averaging
from wdjax.theory import effective_learning_rate as effective_learning_rate
from wdjax.theory import equilibrium as equilibrium
from wdjax.theory import exponential_learning_rate as exponential_learning_rate
from wdjax.theory import layer_balance as layer_balance
from wdjax.theory import noisy_quadratic as noisy_quadratic
from wdjax.theory import objective as objective
from wdjax.theory import quadratic as quadratic
from wdjax.theory import rounding as rounding
from wdjax.theory import scale_invariant as scale_invariant
from wdjax.theory import scaling as scaling
from wdjax.theory import shrinkage as shrinkage
from wdjax.theory import stationary as stationary
from wdjax.theory import transient as transient
