"""Measure what any optimizer's weight decay is, from outside.

`laboratory`    the optimizer as a black box, its derivative, the difference of two
`trial`         runs along given weights, which do not follow the updates
`measure`       responses to changes of the weights
`coupling`      whether weights act as a gradient would
`kinds`         from responses to a kind
`leaves`        the findings of an optimizer's leaves, or of a factory's
`exponents`     the convention of δ_t
`lookahead`     two copies of the weights, of which one is drawn to the other
`later`         the counters of the state set forward
`side_effects`  refused steps, small types, accumulation
`report`        what was found, as text and as data
"""

from wdjax.inspect.auditing.auditor import audit
from wdjax.inspect.auditing.report import Audit, LeafAudit

__all__ = ["Audit", "LeafAudit", "audit"]
