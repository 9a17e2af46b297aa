"""What the page says is what the files hold."""

import json
import os
import re
import subprocess
import sys

import netCDF4
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from wdjax import cli, sweep
from wdjax.report import drawing, folder, page, panels
from wdjax.sweep import labels

from .conftest import ALPHAS, DECAYS, GONE, SEEDS, SLOPE, SMALL, write_study

PIXEL = b"\x89PNG"  # the beginning of one, enough for an address


def views(where, meaning=None):
    """All maps of a folder."""
    return [m for s in page.sections(folder.read(where), meaning) for m in s.maps]


def cells(view):
    """The facts of every cell, by decay and learning rate."""
    return {(c.row, c.column): dict(c.facts) for row in view.rows for c in row}


def column_of(path, name):
    """A variable as the netCDF library itself reads it."""
    with netCDF4.Dataset(path) as file:
        return np.ma.filled(file[name][:], np.nan).astype(np.float64)


def test_every_cell_says_what_the_file_holds(save):
    path = save() / "sweep.adamw.nc"
    (view,) = views(path.parent)
    found = cells(view)
    assert len(found) == len(ALPHAS) * len(DECAYS)
    quantile = stats.t.ppf(0.975, len(SEEDS) - 1)
    for name in ("validation_error", "test_error"):
        runs = 100 * column_of(path, name)
        for (i, j), facts in found.items():
            mean, deviation = runs[:, i, j].mean(), runs[:, i, j].std(ddof=1)
            half = quantile * deviation / np.sqrt(len(SEEDS))
            expected = f"{mean:.2f} % [{mean - half:.2f}, {mean + half:.2f}]"
            if (i, j) == GONE[1:]:
                expected = "none, diverged"
            assert facts[name.replace("_", " ")] == expected
            assert float(facts["learning rate α"]) == pytest.approx(ALPHAS[j], rel=5e-4)
            assert float(facts["decay budget Σδ"].replace("unknown", "nan")) == (
                pytest.approx(12 * DECAYS[i], rel=5e-4, nan_ok=True)
            )


def test_the_diverged_run_is_named_with_its_step_and_has_no_colour(save):
    (view,) = views(save())
    every = [cell for row in view.rows for cell in row]
    assert [(c.row, c.column) for c in every if not c.fill] == [GONE[1:]]
    said = {place: facts["diverged"] for place, facts in cells(view).items()}
    assert said.pop(GONE[1:]) == "1 of 3 runs, first at step 37"
    assert set(said.values()) == {"no run"}


def test_lambda_is_given_in_every_convention(save):
    """δ = λα of AdamW; the other conventions from their formulas, at η = 1."""
    (view,) = views(save())
    for (i, j), facts in cells(view).items():
        alpha, lam = ALPHAS[j], DECAYS[i]
        expected = {
            "λ here (Optax, PyTorch: δ = λα)": lam,
            "δ, removed in a step": lam * alpha,
            "paper: δ = λη": lam * alpha,
            "constant: δ = λ": lam * alpha,
            "corrected: δ = λα²/α_max": lam,
            "squared: δ = λα²": lam / alpha,
        }
        if lam:
            expected["timescale 1/δ, steps"] = 1 / (lam * alpha)
        for caption, value in expected.items():
            if lam * alpha > 1:  # more than all: no such decay
                assert caption not in facts or caption.startswith("λ here")
            else:
                assert float(facts[caption]) == pytest.approx(value, rel=5e-4)
        assert "L2: ½λ‖θ‖² in the loss" not in facts


def test_a_penalty_behind_adam_is_no_decoupled_decay(save):
    (view,) = views(save(method="Adam+L2"))
    shown = set(cells(view)[3, 3])
    assert {"λ here (L2: ½λ‖θ‖² in the loss)", "Keras L2: λ‖θ‖² in the loss"} <= shown
    assert not {name for name in shown if "δ =" in name or "removed" in name}


def test_sgd_with_momentum_says_that_the_paths_differ(save):
    """λ₂ = 0.01·4 at α = 2e-3: δ = αλ₂/(1 − 0.9)."""
    decays = np.geomspace(0.01, 2.56, 5)
    (view,) = views(save(method="SGD+L2", decays=decays, gone=None))
    said = cells(view)[1, 1]["δ, removed in a step"]
    number, word = said.split(" ", 1)
    assert float(number) == pytest.approx(ALPHAS[1] * decays[1] / 0.1, rel=5e-4)
    assert word == "(asymptotic)"


def test_the_best_cells_are_marked(save):
    path = save() / "sweep.adamw.nc"
    (view,) = views(path.parent)
    means = column_of(path, "validation_error").mean(axis=0)
    marked = {(c.row, c.column): c.mark for row in view.rows for c in row if c.mark}
    place = np.unravel_index(np.nanargmin(means), means.shape)
    assert marked.pop(tuple(map(int, place))) == "best"
    assert {column for _, column in marked} == set(range(len(ALPHAS))) - {place[1]}
    assert all(np.nanargmin(means[:, column]) == row for row, column in marked)


def slope_of(points):
    """Of a drawn line, from its pixels: both axes are logarithmic and evenly cut."""
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in points.split())
    octaves_across = len(ALPHAS) * np.log(ALPHAS[1] / ALPHAS[0])
    octaves_up = (len(DECAYS) - 1) * np.log(DECAYS[2] / DECAYS[1])
    across = (x1 - x0) / (drawing.RIGHT - drawing.LEFT) * octaves_across
    bottom = drawing.BOTTOM - drawing.STRIP - drawing.GAP
    return (y0 - y1) / (bottom - drawing.TOP) * octaves_up / across


def test_the_ridge_is_drawn_with_its_slope_and_the_prediction(save):
    (view,) = views(save())
    assert slope_of(view.lines["fitted"]) == pytest.approx(SLOPE, abs=0.02)  # ripple
    assert slope_of(view.lines["predicted"]) == pytest.approx(-1, abs=0.003)  # 0.1 px
    said = re.match(r"slope of the ridge −(0\.\d+) \[.*\], predicted −1$", view.slope)
    assert said
    assert float(said[1]) == pytest.approx(-slope_of(view.lines["fitted"]), abs=0.006)


def test_a_grid_that_is_too_small_for_a_slope_says_so(save):
    (view,) = views(save(alphas=ALPHAS[:1], decays=DECAYS[:2], gone=None))
    assert view.slope.startswith("no slope: it needs 5 learning rates")
    assert view.lines == {}


def test_what_lambda_means_can_come_from_the_axis_the_file_or_the_caller(save):
    where = save("a.nc", axis="l2", method="mine", **SMALL)
    save("b.nc", method="mine", **SMALL)
    given = sweep.load(where / "b.nc").assign_attrs(meaning="paper")
    sweep.save(given, where / "c.nc")
    formulas = [view.formula for view in views(where)]
    assert formulas == ["½λ₂‖θ‖² in the loss", "meaning not recorded", "δ_t = λ·η_t"]
    assert "does not say what its λ means" in " ".join(views(where)[1].notes)
    assert views(where, "optax")[1].formula == "δ_t = λ·α·η_t"


def test_other_settings_have_a_map_each_and_axes_may_be_in_any_order(save):
    where = save(gone=None)
    one = sweep.load(where / "sweep.adamw.nc")
    both = xr.concat([one, one.assign(validation_error=one.test_error)], "width")
    both = both.assign_coords(width=[64, 128]).transpose(..., "seed")
    sweep.save(both.isel(decay=slice(None, None, -1)), where / "sweep.adamw.nc")
    narrow, wide = views(where)
    assert (narrow.title, wide.title) == ("AdamW · width 64", "AdamW · width 128")
    for i, j in ((0, 0), (5, 3)):
        said = cells(wide)[i, j]["validation error"].split()[0]
        mean = 100 * float(one.test_error[:, i, j].mean())
        assert said == f"{mean:.2f}"


def test_a_result_without_seeds_and_of_a_measure_of_its_own_is_shown(save):
    where = save(gone=None)
    plain = sweep.load(where / "sweep.adamw.nc").isel(seed=0, drop=True)
    plain = plain[["test_error"]].rename(test_error="regret")
    sweep.save(plain, where / "sweep.adamw.nc")
    (view,) = views(where)
    assert view.measure == "regret"
    said = cells(view)[4, 2]["regret"]
    number, *_ = said.split(" ", 1)
    assert float(number) == pytest.approx(float(plain.regret[4, 2]), rel=5e-4)
    assert said.endswith("(one seed)")


def test_points_of_a_design_are_listed_with_the_reason(save):
    where = save(**SMALL)
    plan = sweep.points(seed=[0], learning_rate=[0.1, 0.2], decay=[0.0, 1.0])
    flat = {"validation_error": np.zeros(2, np.float32)}
    sweep.save(labels.labelled(plan, flat, None), where / "points.nc")
    by_name = {s.name: s for s in page.sections(folder.read(where))}
    (reason,) = by_name["points"].files.values()
    assert reason.startswith("not a grid of learning rates and decays")


def test_results_by_themselves_show_what_their_runs_share(save):
    where = save("mine.a.nc", **SMALL)
    other = sweep.load(where / "mine.a.nc")
    settings = json.loads(other.attrs["configuration"]) | {"steps": 60}
    other.attrs |= {"configuration": json.dumps(settings), "commit": "fedcba987654"}
    sweep.save(other, where / "mine.b.nc")
    (section,) = page.sections(folder.read(where))
    assert section.settings == {"model": "none", "momentum": "0.9"}
    assert "commit" not in section.run
    assert section.run["date"] == "2026-01-01T00:00:00+00:00"
    html = page.html(folder.read(where))
    assert 'wdjax.sweep.load("mine.b.nc")' in html


def test_learning_rates_without_a_best_decay_are_listed_with_the_reason(save):
    """In the last one a run with the largest decay diverged."""
    (view,) = views(save(decays=DECAYS / 1000, gone=(0, 13, 7)))
    edge, diverged = view.notes
    alphas = "0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064"
    assert edge == f"No best decay at α = {alphas}: minimum at the edge of the grid."
    assert diverged == "No best decay at α = 0.13: diverged cell among the five."


def test_curves_end_where_the_last_record_lies(save):
    """The loss falls to a quarter: log 4 of the axis between its ends."""
    (view,) = views(save(gone=None))
    loss = view.charts[0]
    assert [tick.text for tick in loss.x] == ["10", "30"]
    first, _, last = view.best_curve(loss).split()
    (x0, y0), (x1, y1) = ([float(v) for v in p.split(",")] for p in (first, last))
    assert (x0, x1) == (drawing.LEFT, drawing.RIGHT)
    low, middle, high = (tick.place for tick in loss.y)
    assert y1 > y0
    assert middle == pytest.approx((low + high) / 2)
    assert view.best_curve(loss) != view.undecayed_curve(loss)


def test_a_study_has_its_question_verdicts_maps_and_command(save):
    where = save(**SMALL)
    write_study(where)
    (where / "sweep.png").write_bytes(PIXEL)
    html = page.html(folder.read(where))
    for text in (
        "Does the ridge fall?",
        "The ridge falls with the learning rate.",
        "−0.50 [−0.55, −0.45]",
        ">PASS<",
        "python -m experiments run sweep --full",
        "data:image/png;base64,iVBORw==",
        "1 supported",
    ):
        assert text in html
    assert html.count('<figure class="map"') == 1


def test_the_page_needs_nothing_beside_it(save):
    where = save(**SMALL)
    write_study(where)
    html = page.html(folder.read(where))
    used = re.findall(r"""(?:src|href)=["']([^"']*)|url\(([^)]*)\)""", html)
    assert used
    assert all((a or b).startswith(("#", "data:")) for a, b in used)
    assert "@import" not in html
    assert "default-src 'none'" in html


EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def test_markup_in_names_and_remarks_is_text(save):
    where = save("sweep.<b>&.nc", method=EVIL, **SMALL)
    finding = dict.fromkeys(
        ("claim", "predicted", "measured", "notes", "verdict"), EVIL
    )
    words = dict.fromkeys(("question", "claim", "command", "data", "mode"), EVIL)
    provenance = {"device": EVIL, "configuration": json.dumps({EVIL: EVIL})}
    write_study(where, findings=[finding], provenance=provenance, **words)
    html = page.html(folder.read(where))
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "<b>&" not in html


def test_the_same_folder_gives_the_same_bytes(save, tmp_path):
    where = save(**SMALL)
    write_study(where)
    first = page.write(where, tmp_path / "first.html").read_bytes()
    again = page.write(where, tmp_path / "again.html").read_bytes()
    assert first == again
    assert str(tmp_path).encode() not in first


def test_a_page_is_there_whole_or_not_at_all(save, monkeypatch):
    where = save(**SMALL)
    out = where / "report.html"
    out.write_text("older")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", full)
        with pytest.raises(
            ValueError, match=r"report\.html cannot be written \(No spa"
        ):
            page.write(where)
    assert out.read_text() == "older"
    assert sorted(p.name for p in where.iterdir()) == ["report.html", "sweep.adamw.nc"]
    assert page.write(where) == out
    assert out.read_text().startswith("<!doctype html>")


def test_a_file_that_cannot_be_read_is_named_beside_the_others(save):
    where = save(**SMALL)
    (where / "sweep.broken.nc").write_bytes(b"CDF nothing")
    (where / "torn.json").write_text('{"name": ')
    (where / "other.json").write_text('{"no": "report"}')
    write_study(where, findings=[3])
    found = folder.read(where)
    assert set(found.unread) == {"sweep.broken.nc", "torn.json", "sweep.json"}
    assert str(where) not in " ".join(found.unread.values())
    html = page.html(found)
    assert all(name in html for name in found.unread)
    assert "other.json" not in html


def test_a_study_with_another_number_than_was_written_is_not_read(save):
    where = save(**SMALL)
    write_study(where)
    assert [study.name for study in folder.read(where).studies] == ["sweep"]
    study = where / "sweep.json"
    study.write_text(study.read_text().replace("12.3", "12.4"))
    found = folder.read(where)
    assert not found.studies
    assert "not the one that was written" in found.unread["sweep.json"]


def command(capsys, *words):
    code = cli.main(["report", *map(str, words)])
    return code, *capsys.readouterr()


def test_the_command_prints_the_path(save, capsys, tmp_path):
    where = save(**SMALL)
    assert command(capsys, where) == (0, f"{where / 'report.html'}\n", "")
    out = tmp_path / "deep" / "page.html"
    assert command(capsys, where, "--out", out) == (0, f"{out}\n", "")
    assert out.exists()


REFUSALS = {
    "missing": (("gone",), "There is no folder .*gone; give the one"),
    "empty": (("empty",), r"Nothing in .*empty can be reported: it has neither"),
    "flight": (("flight",), "holds a sweep in flight, not its result"),
    "broken": (("broken",), r"Nothing in .*broken can be read: a\.nc cannot be read"),
    "out": (("results", "--out", "empty"), r"empty is a folder; name a file in it"),
    "meaning": (
        ("results", "--meaning", "optacks"),
        "No meaning of weight decay is named 'optacks'. Did you mean 'optax'",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_reported_ends_in_a_sentence(
    name, save, capsys, tmp_path, monkeypatch
):
    save(**SMALL)
    for made in ("empty", "flight", "broken"):
        (tmp_path / made).mkdir()
    (tmp_path / "flight" / "study.json").write_text("{}")
    (tmp_path / "broken" / "a.nc").write_bytes(b"nothing")
    monkeypatch.chdir(tmp_path)
    words, sentence = REFUSALS[name]
    code, out, err = command(capsys, *words)
    assert (code, out) == (2, "")
    assert re.search(sentence, err)


WITHOUT_XARRAY = """
import sys
sys.modules["xarray"] = None
from wdjax.cli import main
sys.exit(main(["report", "."]))
"""


def test_without_the_extra_the_command_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_XARRAY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert 'run `pip install "wdjax[experiments]"`' in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_grid_of_too_many_settings_is_refused_with_their_number(save):
    where = save(gone=None)
    one = sweep.load(where / "sweep.adamw.nc")
    many = xr.concat([one] * 25, "width").assign_coords(width=range(25))
    with pytest.raises(ValueError, match="25 grids, one for each of width: more than"):
        panels.panels(folder.Result("many.nc", many))


def test_the_scale_ends_at_the_upper_quartile():
    scale = drawing.scale(np.array([np.nan, 0.0, 1.0, 2.0, 3.0, 100.0]))
    assert scale == (0.0, 3.0)
    assert scale.colour(3.0) == scale.colour(100.0) == "#440154"  # viridis' dark end
    assert scale.colour(0.0) == "#fde725"
