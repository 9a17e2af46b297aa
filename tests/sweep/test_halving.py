"""Survivors end as if there had been no race; the race is the one of the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wdjax
from wdjax import sweep
from wdjax.sweep.halving import _best, _kept, _tight
from wdjax.sweep.study import Study

pytestmark = pytest.mark.slow  # whole races

RANGES = {"learning_rate": sweep.LogUniform(1e-3, 1.0), "decay": sweep.Uniform(0, 1)}
DESIGN = sweep.design([3, 1], 8, **RANGES)
GRID = sweep.grid([3, 1], decay=[0.0, 0.5, 2.0], learning_rate=[1e-3, 0.01, 0.1])


@pytest.fixture(scope="module")
def noisy():
    """A training whose optimizer holds moments, a count and a key of its own."""

    def init(key):
        return {"kernel": 0.1 * jax.random.normal(key, (12, 3)), "bias": jnp.zeros(3)}

    def apply(params, images):
        x = images.reshape(images.shape[0], -1)
        return x @ params["kernel"] + params["bias"][None]

    def make_optimizer(h):
        noise = optax.add_noise(0.01, 0.5, key=jax.random.key(3))
        return optax.chain(noise, wdjax.adamw(h["learning_rate"], h["decay"]))

    return lambda records: sweep.make_train(
        init, apply, make_optimizer, steps=3 * records, batch_size=6, records=records
    )


@pytest.fixture(scope="module")
def whole(noisy, dataset):
    """All cells to their end, by the plan's kind."""
    data, layout = sweep.arrays(dataset), sweep.Layout(1, 1, 4)
    plans = {"design": DESIGN, "grid": GRID}
    return {
        n: sweep.run(noisy(6), plan, data, layout=layout) for n, plan in plans.items()
    }


def race_by_hand(scores, counts):
    """At each rung a list of scores by point: who goes on, as sets."""
    alive, races = set(range(scores.shape[1])), []
    for at_rung, count in zip(scores, counts, strict=True):
        alive = set(sorted(alive, key=lambda point: (at_rung[point], point))[:count])
        races.append(alive)
    return races


def assert_same(ours, theirs, rtol):
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=0)


@pytest.mark.parametrize(
    ("layout", "rtol"),
    [
        (sweep.Layout(devices=1, block=1, chunk=4), 0),  # the same bits
        (sweep.Layout(devices=1, block=1, chunk=16), 0),
        (sweep.Layout(devices=2, block=1, chunk=6), 0),
        (sweep.Layout(devices=1, block=8, chunk=16), 1e-10),  # rounding of 18 steps
        (sweep.Layout(devices=2, block=3, chunk=12), 1e-10),
    ],
)
def test_survivors_end_as_if_there_had_been_no_race(
    noisy, dataset, whole, layout, rtol
):
    result = sweep.successive_halving(
        noisy(6),
        DESIGN,
        sweep.arrays(dataset),
        rungs=[1, 4],
        metric="loss",
        layout=layout,
    )
    theirs = whole["design"]
    assert set(result) == {*theirs, "dropped_at", "rung_metric"}
    scores = theirs.loss.mean("seed").values.T[[0, 3]]
    first, second = race_by_hand(scores, [4, 2])
    for point in range(8):
        trained = 6 if point in second else 4 if point in first else 1
        for name in theirs:
            mine, other = result[name].isel(point=point), theirs[name].isel(point=point)
            if "record" in other.dims:
                known = {"record": slice(trained)}
                assert_same(mine.isel(known), other.isel(known), rtol)
                assert np.isnan(mine.isel(record=slice(trained, None))).all()
            elif point in second:
                assert_same(mine, other, rtol)
            else:
                assert np.isnan(mine).all()
        rung = {1: 0, 4: 1, 6: -1}[trained]
        assert result.dropped_at.values[point] == rung
    assert result.dropped_at.dtype.kind == "i"


def test_a_grid_races_too_and_by_what_finish_makes_of_a_rung(noisy, dataset, whole):
    """The metric at a rung is the final one of a training that ends there."""
    data, layout = sweep.arrays(dataset), sweep.Layout(1, 1, 4)
    result = sweep.successive_halving(
        noisy(6), GRID, data, rungs=[2, 3], keep=1 / 3, layout=layout
    )
    scores = [
        sweep.run(noisy(records), GRID, data, layout=layout).validation_loss.mean(
            "seed"
        )
        for records in (2, 3)
    ]
    first, second = race_by_hand(np.stack([s.values.ravel() for s in scores]), [3, 1])
    dropped_at = [-1 if p in second else 1 if p in first else 0 for p in range(9)]
    assert result.dropped_at.dims == ("decay", "learning_rate")
    assert result.dropped_at.values.ravel().tolist() == dropped_at
    assert result.rung_metric.dims == ("rung", "decay", "learning_rate")
    np.testing.assert_array_equal(result.rung, [2, 3])
    # The mean over seeds may be summed in another order.
    assert_same(result.rung_metric[0], scores[0], 1e-14)
    raced = result.dropped_at != 0
    assert_same(result.rung_metric[1].where(raced), scores[1].where(raced), 1e-14)
    won = result.dropped_at == -1
    assert_same(result.test_loss.where(won), whole["grid"].test_loss.where(won), 0)
    assert int(np.isfinite(result.test_loss).sum()) == 2


def geometric(segments=6):
    """x ← x·h a segment: all of it is known in closed form."""

    def advance(data, hypers, key, state, segment):
        x = state["x"] * hypers["factor"]
        return state | {"x": x}, {"loss": x}

    def finish(data, hypers, key, state):
        drawn = jax.random.bits(state["key"], dtype=jnp.uint32)
        return {"end": state["x"], "half": state["half"].astype(float), "drawn": drawn}

    def begin(data, hypers, key):
        half = jnp.asarray(hypers["factor"], jnp.bfloat16)
        return {"x": data, "half": half, "key": jax.random.fold_in(key, 7)}

    return sweep.Training(begin, advance, finish, segments=segments)


def race(factors, seed=(0, 1), **options):
    plan = sweep.points(seed, factor=factors)
    options = {"rungs": [1, 3], "metric": "loss"} | options
    return sweep.successive_halving(geometric(), plan, jnp.ones(()), **options)


def test_the_least_go_on_in_closed_form():
    factors = np.array([0.9, 0.2, 0.5, 0.7, 0.1, 0.3, 0.8])
    result = race(factors)
    # ⌊7/2⌋ = 3 go on, then ⌊3/2⌋ = 1.
    assert result.dropped_at.values.tolist() == [0, 1, 0, 0, -1, 1, 0]
    trained = np.array([1, 3, 1, 1, 6, 3, 1])
    curve = factors[:, None] ** np.arange(1, 7)
    expected = np.where(np.arange(6) < trained[:, None], curve, np.nan)
    assert_same(result.loss, np.stack([expected] * 2), 1e-14)
    assert_same(result.rung_metric, expected[:, [0, 2]].T, 1e-14)  # the last of a leg
    np.testing.assert_allclose(result.end.isel(point=4), 0.1**6, rtol=1e-14)
    assert result.attrs["share"] == np.sum(trained) / (7 * 6)


def test_keys_and_narrow_states_are_kept_to_the_bit():
    """In whichever block they come to lie."""
    factors = np.linspace(0.9, 0.1, 9)  # the last win, and move to the front
    for layout in (sweep.Layout(1, 1, 5), sweep.Layout(2, 4, 8)):
        result = race(factors, seed=(5, 2), layout=layout)
        for point in np.flatnonzero(result.dropped_at == -1):
            for i, seed in enumerate((5, 2)):
                key = jax.random.fold_in(jax.random.key(seed), 7)
                drawn = int(jax.random.bits(key, dtype=jnp.uint32))
                assert result.drawn[i, point] == drawn
                half = float(jnp.asarray(factors[point], jnp.bfloat16))
                assert result.half[i, point] == half
        assert result.drawn.dtype == np.float64  # integers make room for NaN


def test_what_is_not_a_number_is_dropped_first_and_counted():
    seen = []
    result = race([0.5, 0.9, 0.8, 1e308], rungs=[2], progress=seen.append)
    assert result.dropped_at.values.tolist() == [-1, 0, -1, 0]
    assert seen[-1].diverged == 2  # 1e616, from both seeds

    def broken(data, hypers, key, state, segment):
        bad = (hypers["factor"] == 0.1) & (jax.random.key_data(key)[1] == 1)
        return state, {"loss": jnp.where(bad, jnp.nan, hypers["factor"])}

    train = sweep.Training(
        lambda data, hypers, key: data,
        broken,
        lambda data, hypers, key, state: {"end": state},
        segments=2,
    )
    plan = sweep.points([0, 1], factor=[0.1, 0.2])
    result = sweep.successive_halving(
        train, plan, jnp.ones(()), rungs=[1], metric="loss"
    )
    assert result.dropped_at.values.tolist() == [0, -1]  # one of its seeds was NaN


def test_of_equal_points_the_first_go_on():
    assert race([0.5] * 8).dropped_at.values.tolist() == [-1, -1, 1, 1, 0, 0, 0, 0]
    rng = np.random.default_rng(0)
    points, means = np.arange(500), rng.integers(0, 3, 500).astype(float)
    by_hand = sorted(points, key=lambda point: (means[point], point))[:250]
    assert _best(points, means, 0.5).tolist() == sorted(by_hand)


@pytest.mark.parametrize(
    ("points", "keep", "kept"),
    [(9, 1 / 3, 3), (10, 1 / 3, 3), (98, 1 / 49, 2), (3, 1 / 2, 1), (1, 1 / 2, 1)],
)
def test_the_whole_part_of_the_share_is_kept(points, keep, kept):
    assert _kept(points, keep) == kept


def test_the_losers_take_no_more_time():
    """Of 8 points by 2 seeds, 4 to a chunk: 4 chunks once, 2 twice, 1 thrice."""
    seen = []
    layout = sweep.Layout(devices=1, block=1, chunk=4)
    race(np.linspace(0.1, 0.8, 8), layout=layout, progress=seen.append)
    work = [4] * 4 + [4] * 2 * 2 + [4] * 3
    np.testing.assert_allclose(
        [p.share for p in seen[:-1]], np.cumsum(work) / sum(work)
    )
    done = [0] * 3 + [8] * 4 + [12] * 3 + [16] * 2
    assert [p.cells_done for p in seen] == done
    assert seen[1].best_loss == 0.5  # the second half of the first seed's points


def test_splits_are_evaluated_only_where_that_decides(monkeypatch):
    finished = []

    def finish(study, flight):
        finished.append(flight.segment)
        return whole_finish(study, flight)

    whole_finish = Study.finish
    monkeypatch.setattr(Study, "finish", finish)
    options = {"seed": [0], "layout": sweep.Layout(1, 1, 2)}
    race([0.1, 0.2], metric="loss", **options)
    assert finished == [6]
    race([0.1, 0.2], metric="end", **options)
    assert finished == [6, 1, 3, 6]


@pytest.mark.parametrize(
    ("layout", "seeds", "points", "tight"),
    [
        (sweep.Layout(1, 64, 64), 3, 21, (1, 21, 21)),
        (sweep.Layout(1, 64, 640), 1, 70, (1, 35, 70)),  # two even blocks
        (sweep.Layout(2, 1, 16), 2, 5, (2, 1, 10)),
        (sweep.Layout(2, 1, 4), 2, 5, (2, 1, 4)),
        (sweep.Layout(2, 1, 16), 1, 1, (1, 1, 1)),
        (sweep.Layout(2, 8, 16), 1, 8, (1, 8, 8)),
    ],
)
def test_survivors_lie_in_as_few_slots_as_hold_them(layout, seeds, points, tight):
    assert _tight(layout, seeds, points) == tight


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rungs": []}, "give numbers of segments, increasing, from 1 to 5"),
        ({"rungs": [2, 2]}, "increasing"),
        ({"rungs": [0]}, "increasing"),
        ({"rungs": [6]}, "the training has 6 segments"),
        ({"keep": 1.0}, r"keep is 1.0; give a share in \(0, 1\)"),
        ({"metric": "lost"}, r"no number 'lost'; take one of \[.*'end'.*'loss'"),
        ({"factors": [0.1]}, "one point, so that none can be dropped"),
    ],
)
def test_a_race_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        race(**{"factors": [0.1, 0.2]} | options)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"2 processes; .* Start one"):
        race([0.1, 0.2])
