"""Mutation testing of the rooms ``wdjax/decay`` and ``wdjax/optimizers``.

Asks:  does some test fail for every small fault that is put into the rooms?
Run:   scripts/mutate            all of it; stops after --minutes, resumes with --resume
       scripts/mutate --only wdjax/decay/pull.py --tests tests/decay/test_pull.py
Cost:  1 to 1.5 seconds of a core for a mutant that is killed, the time of all its tests
       (up to 90 s) for one that survives, 4 minutes for the tests unharmed: 73 minutes
       on two cores for 3,753 mutants, 6 % of which survived; less with fewer survivors
Needs: two cores, 4 GB; nothing in the tree is changed (notes are under .cache/mutate)

First the tests run once, unharmed, to learn how long each takes and which lines it
runs. Then every mutant (``mutants.py``) is tried (``mutant_trials.py``). Types are
checked as in any test run, so a mutant may die of its type. A mutant whose tests exceed
their time counts as a survivor; so does one that no test reaches. Survivors that no
test could kill stand in ``mutants_equivalent.toml`` with the reason, and leave the
score.
"""

import argparse
import collections
import hashlib
import itertools
import json
import os
import random
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from mutant_trials import (
    ROOT,
    Map,
    check_harness,
    in_child,
    map_tests,
    run_all,
    warm_up,
)
from mutants import Mutant, lines_of_code, mutants

ROOMS = ("wdjax/decay", "wdjax/optimizers")
TESTS = ("tests/decay", "tests/optimizers", "tests/parity")
NOTES = ROOT / ".cache" / "mutate"
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.toml")

Results = dict[str, dict[str, Any]]


def sources(places: tuple[str, ...] | list[str]) -> list[Path]:
    """The Python files of some files or folders; those that do not exist have none."""
    paths = [ROOT / place for place in places]
    inside = itertools.chain.from_iterable(path.rglob("*.py") for path in paths)
    return sorted({*inside, *(path for path in paths if path.is_file())})


def fingerprint(tests: list[str]) -> str:
    """A digest of the library, of all tests, and of the choice among them."""
    files = sources(["wdjax", "tests"])
    texts = [f"{f.relative_to(ROOT)}\n".encode() + f.read_bytes() for f in files]
    return hashlib.sha256(b"".join([repr(tests).encode(), *texts])).hexdigest()


def learn(tree: str, tests: list[str]) -> Map:
    """The map of the tests, from the last time if nothing has changed since."""
    path = NOTES / "map.json"
    if not path.exists() or json.loads(path.read_text())["tree"] != tree:
        print("Running the tests unharmed …", flush=True)
        files = [test for test in tests if (ROOT / test).exists()]
        failed, seconds, lines = in_child(map_tests, sources(ROOMS), files)
        if failed:
            sys.exit("The tests fail without any mutant:\n  " + "\n  ".join(failed))
        NOTES.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"tree": tree, "seconds": seconds, "lines": lines}))
    known = json.loads(path.read_text())
    by_line = {f: {int(n): t for n, t in m.items()} for f, m in known["lines"].items()}
    return Map(known["seconds"], by_line)


def earlier_results(tree: str) -> Results:
    """Kills; and survivals, if neither library nor tests have changed since."""
    path = NOTES / "results.jsonl"
    rows = map(json.loads, path.read_text().splitlines() if path.exists() else ())
    kept = [r for r in rows if r["status"] == "killed" or r["tree"] == tree]
    return {row["key"]: row for row in kept}


def site(row: dict[str, str]) -> tuple[str, ...]:
    """What identifies a mutant in ``mutants_equivalent.toml``, but for white space."""
    lines = (" ".join(row[part].split()) for part in ("before", "after"))
    return (row["file"], row["function"], *lines)


def as_row(mutant: Mutant) -> dict[str, str]:
    """A mutant in the words of ``mutants_equivalent.toml``."""
    names = {"file": mutant.path, "function": mutant.function}
    return names | {"before": mutant.before, "after": mutant.after}


def difference(mutant: Mutant, status: str) -> str:
    """A mutant for the eye."""
    where = f"{mutant.path}:{mutant.lines[0]} {mutant.function}".rstrip()
    before = "".join(f"\n  - {line}" for line in mutant.before.splitlines())
    after = "".join(f"\n  + {line}" for line in mutant.after.splitlines())
    return f"{where}: {status}{before}{after}"


def try_all(todo: list[Mutant], known: Map, tree: str, settings: Any) -> Results:
    """Run, print and note each trial."""
    start, results = time.monotonic(), {}
    until = start + 60 * settings.minutes
    with (NOTES / "results.jsonl").open("a") as notes:
        for mutant, result in run_all(todo, known, settings.jobs, until):
            row = {"key": mutant.key, "tree": tree, "path": mutant.path} | result
            notes.write(json.dumps(row) + "\n")
            notes.flush()
            results[mutant.key] = row
            if result["status"] != "killed":
                print(difference(mutant, result["status"]), flush=True)
            if len(results) % 50 == 0:
                minutes = (time.monotonic() - start) / 60
                left = minutes * (len(todo) / len(results) - 1)
                progress = f"{len(results)}/{len(todo)} in {minutes:.1f} min"
                print(f"{progress}, about {left:.0f} more", flush=True)
    return results


def write_survivors(survivors: list[Mutant]) -> None:
    """In the form of ``mutants_equivalent.toml``, for those that prove equivalent."""
    tables = []
    for mutant in survivors:
        rows = [f"{k} = '''\n{v}\n'''" for k, v in as_row(mutant).items() if "\n" in v]
        rows += [f"{k} = '''{v}'''" for k, v in as_row(mutant).items() if "\n" not in v]
        tables.append("\n".join(["[[equivalent]]", *rows, "reason = ''"]))
    (NOTES / "survivors.toml").write_text("\n\n".join(tables) + "\n")


def print_table(found: dict[str, list[Mutant]], results: Results) -> None:
    """Counts for each file, and its lines without a mutant."""
    columns = ("mutants", "tried", "killed", "equivalent", "survived", "score")
    print("\n" + f"{'':32}" + "".join(f"{column:>11}" for column in columns))
    everything = list(itertools.chain.from_iterable(found.values()))
    for path, inside in [*found.items(), ("all", everything)]:
        states = [results[m.key]["status"] for m in inside if m.key in results]
        count = collections.Counter(states)
        killed, same = count["killed"], count["equivalent"]
        tried = len(states) - same
        cells = (len(inside), tried, killed, same, tried - killed)
        score = f"{killed / tried:11.1%}" if tried else f"{'-':>11}"
        print(f"{path:32}" + "".join(f"{cell:11}" for cell in cells) + score)
    for path, inside in found.items():
        changed = {n for x in inside for n in range(x.lines[0], x.lines[1] + 1)}
        if missed := sorted(lines_of_code(ROOT / path) - changed):
            print(f"{path}: no operator changes line {', '.join(map(str, missed))}")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", default=list(ROOMS), help="files or folders of the rooms")
    add("--tests", nargs="+", default=list(TESTS), help="those that may kill")
    add("--sample", type=int, help="this many mutants, drawn at random")
    add("--seed", type=int, default=0, help="of the draw and of the order")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    add("--minutes", type=float, default=90, help="begin no trial after so long")
    add("--resume", action="store_true", help="skip what was killed before")
    add("--all", action="store_true", help="try the equivalent mutants, too")
    add("--list", action="store_true", help="print the mutants and stop")
    return parser.parse_args()


def main() -> None:
    """Enumerate, learn, try, report; exit 1 if there is anything left to do."""
    settings = options()
    found = {str(s.relative_to(ROOT)): mutants(s, ROOT) for s in sources(settings.only)}
    drawn = list(itertools.chain.from_iterable(found.values()))
    if settings.list:
        print("\n".join(difference(mutant, "a mutant") for mutant in drawn))
        return
    equivalent = tomllib.loads(EQUIVALENT.read_text()).get("equivalent", [])
    named = {site(row) for row in equivalent}
    stale = (
        named - {site(as_row(m)) for m in drawn}
        if settings.only == list(ROOMS)
        else set()
    )
    random.Random(settings.seed).shuffle(drawn)
    drawn = drawn[: settings.sample]
    tree = fingerprint(settings.tests)
    results = earlier_results(tree) if settings.resume else {}
    if not settings.all:
        same = [m.key for m in drawn if site(as_row(m)) in named]
        results |= {key: {"status": "equivalent"} for key in same}
    warm_up()
    known = learn(tree, settings.tests)
    check_harness(sources(ROOMS)[0], known)
    todo = [mutant for mutant in drawn if mutant.key not in results]
    print(f"{len(todo)} of {sum(map(len, found.values()))} mutants to try", flush=True)
    results |= try_all(todo, known, tree, settings)
    settled = {k for k, r in results.items() if r["status"] in ("killed", "equivalent")}
    survivors = [m for m in drawn if m.key in results and m.key not in settled]
    write_survivors(survivors)
    print_table(found, results)
    for row in sorted(stale):
        print(f"{EQUIVALENT.name}: no such mutant any more: {row}")
    untried = sum(m.key not in results for m in drawn)
    print(f"{len(survivors)} survivors, {untried} not tried; see {NOTES}")
    sys.exit(bool(survivors or stale or untried))


if __name__ == "__main__":
    main()
