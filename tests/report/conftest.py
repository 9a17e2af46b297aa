"""A sweep without a training, in the project's own format: a basin of known slope."""

import functools
import json

import numpy as np
import pytest
import xarray as xr

from wdjax import sweep
from wdjax.sweep import files, record
from wdjax.sweep.labels import labelled

ALPHAS = np.geomspace(1e-3, 0.128, 8)
DECAYS = np.concatenate([[0.0], np.geomspace(0.01, 40.96, 13)])
SEEDS = (7, 8, 9)
GONE = (1, 13, 7)  # seed, decay and learning rate of the run that diverged
SLOPE = -0.5


def basin(alphas=ALPHAS, decays=DECAYS, slope=SLOPE, seeds=SEEDS):
    """Errors of a valley along λ ∝ α^slope, a little higher from seed to seed."""
    seed = np.arange(len(seeds))[:, None, None]
    height = np.log(np.maximum(decays, 1e-4))[None, :, None]
    along = slope * np.log(alphas / alphas[len(alphas) // 2])[None, None]
    ripple = 1e-3 * np.cos(3.0 * seed + height + np.log(alphas)[None, None])
    return 0.3 + 4e-3 * (height - along) ** 2 + 0.01 * seed + ripple


@functools.cache
def provenance(settings):
    """Once for all: it asks git."""
    return record.provenance(json.loads(settings))


def result(attributes, *, axis="decay", alphas=ALPHAS, decays=DECAYS, gone=GONE):
    """The data set that :func:`wdjax.sweep.run` would give."""
    plan = sweep.grid(**{"seed": SEEDS, axis: decays, "learning_rate": alphas})
    errors = basin(alphas, decays)
    diverged_at = np.full(errors.shape, -1)
    curves = np.stack([4 * errors, 2 * errors, errors], axis=-1)
    if gone is not None:
        errors[gone], diverged_at[gone], curves[gone] = np.nan, 37, np.nan
    flat = {
        "validation_error": errors.astype(np.float32).ravel(),
        "test_error": (errors + 0.02).astype(np.float32).ravel(),
        "diverged_at": diverged_at.astype(np.int32).ravel(),
        "loss": curves.reshape(-1, 3),
        "norm": 10 * curves.reshape(-1, 3),
    }
    made = labelled(plan, flat, np.array([10, 20, 30]))
    made["decay_budget"] = xr.zeros_like(made.validation_error) + made[axis] * 12
    settings = {"steps": 30, "momentum": 0.9, "model": "none"}
    fixed = {"commit": "0123456789ab", "date": "2026-01-01T00:00:00+00:00"}
    made.attrs |= provenance(json.dumps(settings)) | fixed | attributes
    return made


def write_result(folder, name="sweep.adamw.nc", *, method="AdamW", **options):
    """Save a result as the library does, and give the folder."""
    sweep.save(result({"method": method}, **options), folder / name)
    return folder


def write_study(folder, **changes):
    """Write an experiment's report."""
    finding = {
        "claim": "The ridge falls",
        "predicted": "−0.5 ± 0.25",
        "measured": "−0.50 [−0.55, −0.45]",
        "verdict": "PASS",
        "interval": {"estimate": -0.5, "low": None, "high": None},
        "band": {"low": None, "high": None, "prediction": -0.5},
        "seeds": 3,
        "budget": "1 to 2",
        "convention": "δ_t = λα_t",
        "notes": "8 of 8",
    }
    plain = {
        "name": "sweep",
        "question": "Does the ridge fall?",
        "claim": "The ridge falls with the learning rate.",
        "mode": "full",
        "command": "python -m experiments run sweep --full",
        "data": "none (n = 0)",
        "provenance": {
            "configuration": json.dumps({"steps": 30}),
            "versions": json.dumps({"jax": "0.0"}),
            "device": "1 × cpu",
        },
        "seconds": 12.3,
        "findings": [finding],
    }
    folder.mkdir(exist_ok=True)
    text = files.sealed_json(plain | changes)
    (folder / "sweep.json").write_text(text, encoding="utf-8")


SMALL = {"alphas": ALPHAS[:2], "decays": DECAYS[:3], "gone": None}


@pytest.fixture
def save(tmp_path):
    """Writes results into a folder of its own, and gives the folder."""
    return functools.partial(write_result, tmp_path / "results")
