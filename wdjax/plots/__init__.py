"""Arrays → matplotlib Axes: never computes a statistic, never saves, never ``pyplot``.

Every function draws into an ``Axes`` that it is given. Make the figure with
:class:`matplotlib.figure.Figure` inside :func:`wdjax.plots.style.context`, so that
nothing global changes and nothing has to be closed.
"""

try:
    import matplotlib as _matplotlib  # noqa: F401 — asked for before the rooms need it
except ModuleNotFoundError as error:
    raise ImportError(
        'wdjax.plots draws with matplotlib: pip install "wdjax[experiments]".'
    ) from error

from wdjax.plots import curves as curves
from wdjax.plots import heat_map as heat_map
from wdjax.plots import points as points
from wdjax.plots import quadratics as quadratics
from wdjax.plots import style as style
from wdjax.plots import telemetry as telemetry
