"""Results on disk: netCDF, with all that is needed to repeat the run."""

import datetime
import importlib.metadata
import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from wdjax.sweep import files

PACKAGES = ("wdjax", "jax", "jaxlib", "optax", "flax", "numpy", "xarray")


def provenance(configuration: Mapping[str, Any]) -> dict[str, str]:
    """What a reader needs to repeat a run, as netCDF attributes.

    Args:
        configuration: all settings of the run, as JSON can hold them; a path becomes
            FOLDER, for a reader elsewhere does not have it.

    Returns:
        Text for each of: configuration (JSON), versions (JSON), device, commit, date.
    """
    versions = {name: version(name) for name in PACKAGES}
    device = jax.devices()[0]
    kind = "" if device.device_kind == device.platform else f" ({device.device_kind})"
    return {
        "configuration": json.dumps(configuration, sort_keys=True, default=shared),
        "versions": json.dumps(versions),
        "device": f"{jax.device_count()} × {device.platform}{kind}",
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def shared(setting: Any) -> str:
    """A setting in words that hold on every machine: a path is called FOLDER."""
    return "FOLDER" if isinstance(setting, Path) else str(setting)


def save(result: xr.Dataset, path: str | Path) -> None:
    """Write a result, sealed with its digest, whole or not at all.

    Args:
        result: from :func:`wdjax.sweep.run`.
        path: ends in ``.nc``; an older file there is replaced.

    Raises:
        ValueError: the folder cannot be written, or its disk is full.
    """
    path = Path(path)
    writable_folder(path.parent)
    try:
        with files.whole(path) as partial:
            result.to_netcdf(partial, engine="netcdf4")
            files.seal(partial)
    except (OSError, RuntimeError) as error:  # HDF5 raises either
        raise ValueError(
            f"{path} cannot be written ({files.reason(error, path)}); make room, or "
            "choose another folder with --out."
        ) from error


def load(path: str | Path) -> xr.Dataset:
    """Read a result into memory.

    Args:
        path: a file that :func:`save` wrote.

    Returns:
        The data set, its file closed.

    Raises:
        ValueError: there is no such file, it is not a netCDF file, or its bytes are
            not those that were written, by its digest.
    """
    path = Path(path)
    if not os.path.isfile(path):  # Path.is_file() raises where a name is too long
        raise ValueError(f"There is no result at {path}; run the experiment first.")
    try:
        with path.open("rb") as file:
            files.check_seal(file)
        return xr.load_dataset(path, engine="netcdf4")
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as netCDF ({error}); run the experiment again."
        ) from error


def writable_folder(folder: Path) -> None:
    """Make a folder, and refuse one that cannot be written.

    Args:
        folder: made with its parents where it is missing.

    Raises:
        ValueError: naming the folder and the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ValueError(
            f"The output folder {folder} cannot be written "
            f"({getattr(error, 'strerror', error)}); choose another with --out."
        ) from None


def version(package: str) -> str:
    """Of an installed package; "not installed" of another."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The checkout's commit, marked where files differ from it; else "unknown"."""
    try:
        _git("ls-files", "--error-unmatch", __file__)  # not some other repository
        return _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    folder = Path(__file__).parent
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
