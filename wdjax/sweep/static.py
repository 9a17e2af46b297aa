"""Sweeping what cannot be traced: one compiled program for each setting."""

import itertools
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from jaxtyping import PyTree

from wdjax.sweep.cells import Plan
from wdjax.sweep.engine import run
from wdjax.sweep.metric import outcome_shapes
from wdjax.sweep.training import Train


def run_static(
    make: Callable[..., Train],
    static: Mapping[str, Sequence[Any]],
    plan: Plan,
    data: PyTree,
    *,
    folder: str | Path | None = None,
    configuration: Mapping[str, Any] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Train a plan once for each combination of static settings.

    What sets the shape of an array or the number of steps cannot be an argument of a
    compiled program: batch size, width, depth, or which optimizer. Each combination is
    a program of its own, compiled and run after the one before. Sweep here what you
    must, and in the plan what you can.

    Example:
        ``run_static(lambda batch_size: make_train(…, batch_size=batch_size),
        {"batch_size": [32, 64]}, grid, data)``

    Args:
        make: a training function for one value of each setting, by name.
        static: the values of each setting, numbers or text; of what is neither, let
            ``make`` look up by a name.
        plan: a grid or a design, the same for all of them.
        data: see :func:`~wdjax.sweep.run`.
        folder: for a study's folder for each combination, such as
            ``batch_size=32,width=64``. With ``resume=True`` what is finished there is
            not trained again, also when there are new values.
        configuration: see :func:`~wdjax.sweep.run`; the setting is added to it.
        **options: of :func:`~wdjax.sweep.run`, for each of them.

    Returns:
        The data set of :func:`~wdjax.sweep.run` with the settings as further
        dimensions, in front. Attributes: ``compile_seconds`` and ``run_seconds``,
        summed, and the ``layout`` or layouts.

    Raises:
        ValueError: a setting's values cannot be labels, its name is taken, or the
            outcomes of two settings differ in their names or shapes; all before the
            first is trained.
    """
    for name, values in static.items():
        _check_values(name, values)
    _check_names(static, plan)
    settings = list(_product(static))
    trains = [make(**setting) for setting in settings]
    _check_outcomes(settings, trains, plan, data)
    results = [
        run(
            train,
            plan,
            data,
            folder=None if folder is None else Path(folder) / _label(setting),
            configuration={**(configuration or {}), "static": setting},
            **options,
        )
        for setting, train in zip(settings, trains, strict=True)
    ]
    result = _over_settings(results, static)
    for name in ("compile_seconds", "run_seconds"):
        result.attrs[name] = sum(each.attrs[name] for each in results)
    layouts = dict.fromkeys(each.attrs["layout"] for each in results)
    return result.assign_attrs(layout="; ".join(layouts))


def _product(static: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*static.values()):
        yield dict(zip(static, values, strict=True))


def _label(setting: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in setting.items())


def _over_settings(
    results: Sequence[xr.Dataset], static: Mapping[str, Sequence[Any]]
) -> xr.Dataset:
    """Results in the order of the product, a dimension for each setting."""
    for name, values in reversed(list(static.items())):
        groups = zip(*[iter(results)] * len(values), strict=True)
        results = [
            xr.concat(
                group,
                name,
                data_vars="all",
                coords="minimal",
                compat="override",
                join="exact",
                combine_attrs="drop",
            ).assign_coords({name: list(values)})
            for group in groups
        ]
    return results[0]


def _check_values(name: str, values: Sequence[Any]) -> None:
    has = f"The setting {name!r} has the values {list(values)}"
    if len(values) == 0 or len(set(values)) < len(values):
        raise ValueError(f"{has}; give at least one, and none of them twice.")
    texts = {isinstance(value, str) for value in values}
    if len(texts) > 1 or not all(isinstance(v, str | numbers.Real) for v in values):
        raise ValueError(
            f"{has}; give numbers or names, and let `make` look up what they stand for."
        )
    if any("/" in str(value) or "\\" in str(value) for value in values):
        raise ValueError(f"{has}; they name folders, so choose some without a slash.")


def _check_names(static: Mapping[str, Sequence[Any]], plan: Plan) -> None:
    taken = sorted({*plan.coords, "record"} & set(static))
    if taken:
        raise ValueError(
            f"The settings {taken} are named like dimensions of the plan; let `make` "
            "call them otherwise."
        )


def _check_outcomes(
    settings: Sequence[Mapping[str, Any]],
    trains: Sequence[Train],
    plan: Plan,
    data: PyTree,
) -> None:
    first, *others = (outcome_shapes(train, plan, data) for train in trains)
    for setting, shapes in zip(settings[1:], others, strict=True):
        for name in sorted(first | shapes):
            ours, theirs = first.get(name), shapes.get(name)
            if ours != theirs:
                raise ValueError(
                    f"{name} has the shape {ours} for {_label(settings[0])}, and "
                    f"{theirs} for {_label(setting)}; let `make` record the same for "
                    "all."
                )
