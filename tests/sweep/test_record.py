"""What is saved is what was computed, with all that is needed to repeat it."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from wdjax import sweep
from wdjax.sweep import record


def test_a_result_comes_back_from_disk_with_its_attributes(tmp_path, dataset, train):
    grid = sweep.grid(seed=[0, 1], decay=[0.0, 0.1], learning_rate=[0.1])
    result = sweep.run(train, grid, sweep.arrays(dataset))
    result.attrs |= record.provenance({"steps": 12})
    path = tmp_path / "deep" / "result.nc"
    sweep.save(result, path)
    loaded = sweep.load(path)
    xr.testing.assert_identical(result, loaded)
    assert json.loads(loaded.attrs["configuration"]) == {"steps": 12}
    assert set(json.loads(loaded.attrs["versions"])) == set(record.PACKAGES)
    assert loaded.attrs["run_seconds"] > 0
    for name in ("device", "commit", "date", "layout", "compile_seconds"):
        assert loaded.attrs[name]
    assert [p.name for p in path.parent.iterdir()] == ["result.nc"]  # nothing partial


def test_an_output_folder_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(ValueError, match=r"file/out cannot be written .*--out"):
        sweep.save(xr.Dataset({"x": np.ones(())}), blocker / "out" / "result.nc")


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no result at .*gone\.nc; run"):
        sweep.load(tmp_path / "gone.nc")


def test_a_damaged_result_is_refused(tmp_path):
    path = tmp_path / "bad.nc"
    path.write_bytes(b"CDF\x01 and then nothing that fits")
    with pytest.raises(ValueError, match=r"bad\.nc cannot be read as netCDF"):
        sweep.load(path)


def test_a_path_of_one_machine_is_no_provenance():
    configuration = {"data_dir": Path("/home/somebody/cifar"), "steps": 12}
    said = record.provenance(configuration)["configuration"]
    assert said == '{"data_dir": "FOLDER", "steps": 12}'
