"""Experiments that check the theory of weight decay, each by one command.

Examples:
  python -m experiments list
  python -m experiments run lecture_pictures
  python -m experiments run learning_rate_and_decay --smoke
  python -m experiments verdicts
  python -m experiments report results
"""

import contextlib
import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments.harness import catalogue, distribution, summary, watch, words
from experiments.harness.data_settings import DataSettings
from experiments.harness.reports import Report, save_report, verdict_objects
from experiments.harness.tolerances import digest
from experiments.harness.workspace import Workspace
from wdjax import exit_codes, terminal
from wdjax.report import page
from wdjax.sweep import files, memory
from wdjax.sweep.record import provenance, shared, writable_folder

EPILOG = f"""`python -m experiments COMMAND --help` has more examples;
docs/command_line.md has what they print, and completion.

{exit_codes.as_text()}"""


def list_() -> None:
    """List the experiments: name, seconds on two CPU cores, with --full, claim.

    For example:
      python -m experiments list
    """
    print(summary.cost_table())


def run(
    names: tyro.conf.Positional[words.Names] = (),
    *,
    all: words.Flag = False,
    smoke: words.Flag = False,
    full: words.Flag = False,
    data: words.Name = None,
    data_dir: words.Folder = None,
    allow_unverified: words.Flag = False,
    data_remark: words.Text = None,
    model: words.Model = None,
    schedule: words.Schedule = None,
    steps: words.Number = None,
    batch_size: words.Number = None,
    seeds: words.Number = None,
    augment: words.Flag = False,
    out: words.Folder = None,
    resume: words.Flag = False,
    distributed: words.Flag = False,
    tensorboard: words.Flag = False,
    trace: words.Folder = None,
) -> None:
    r"""Run experiments; write figures, data and a summary; print their verdicts.

    For example:
      python -m experiments run lecture_pictures
      python -m experiments run learning_rate_and_decay --smoke
      python -m experiments run learning_rate_and_decay --full --resume
      python -m experiments run learning_rate_and_decay --data cifar10 \
          --data-dir ~/cifar --model resnet20 --augment --steps 64000 --batch-size 128

    What is left out is as the experiment has it.

    Args:
        names: which; `python -m experiments list` has them.
        all: run all of them.
        smoke: the smallest version, seconds each; nothing is judged. Programs are
            compiled in haste, for most of the time would go there.
        full: the largest version, behind the figures of the README.
        data: photos10, fashion_mnist, cifar10, cifar100 or digits.
        data_dir: where your copy of the data set is; nothing is downloaded.
        allow_unverified: accept other files than those published, and say so.
        data_remark: what else to say of the data on every output.
        model: the network.
        schedule: of the learning rate.
        steps: of each training.
        batch_size: examples in a step.
        seeds: trainings of each setting.
        augment: crop and flip the training images.
        out: for what is written; results or, with --smoke, results/smoke if not given.
        resume: go on with grids that were stopped, to the same bits.
        distributed: be one of several processes that share --out: docs/cluster.md.
        tensorboard: write scalars of the progress into --out, for TensorBoard.
        trace: for a profile, by `jax.profiler.trace`.
    """
    if distributed:
        distribution.join()
    if smoke and full:
        raise ValueError("--smoke and --full exclude each other; give one.")
    wanted = catalogue.by_cost() if all else list(names)
    if not wanted:
        known = ", ".join(catalogue.names())
        raise ValueError(f"Name an experiment, or give --all. Known: {known}.")
    mode = "smoke" if smoke else "full" if full else "default"
    if out is None:
        out = Path("results/smoke" if smoke else "results")
    writable_folder(out)
    options = {
        "data": data,
        "data_dir": data_dir,
        "allow_unverified": allow_unverified or None,
        "data_remark": data_remark,
        "model": model,
        "schedule": schedule,
        "steps": steps,
        "batch_size": batch_size,
        "seeds": seeds,
        "augment": augment or None,
    }
    for name in wanted:
        _load_once(name, mode, options)  # a bad name or folder speaks at once
    reports = []
    with watch.traced(trace), _compiled_quickly(smoke):
        for name in wanted:
            with _alone(name, out):
                workspace = _workspace(name, out, resume, tensorboard)
                reports.append(_run_one(name, mode, options, workspace))
    if distribution.is_first():
        written = summary.write(out)
        print(summary.terminal_table(reports))
        print(f"\n{written}")


def _alone(name: str, out: Path) -> contextlib.AbstractContextManager[None]:
    """No second run of an experiment in the same folder; the first process asks."""
    if not distribution.is_first():
        return contextlib.nullcontext()
    lock = out / f".{name}.lock"
    return files.held(lock, what=f"The experiment {name} in the folder {out}")


@contextlib.contextmanager
def _compiled_quickly(hasty: bool) -> Iterator[None]:
    """Without most of XLA's optimisations, which tiny programs do not earn back."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", hasty or before)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def _workspace(name: str, out: Path, resume: bool, tensorboard: bool) -> Workspace:
    """A folder, a voice and watches; only the first of several processes is watched."""
    watches = []
    if distribution.is_first():
        watches.append(watch.json_lines(out / "log.jsonl", name))
        if tensorboard:
            watches.append(watch.tensorboard(out / "tensorboard", name))
    return Workspace(out, _say, name, resume, tuple(watches))


def _run_one(
    name: str, mode: str, options: dict[str, Any], workspace: Workspace
) -> Report:
    """One experiment, from its notices to its saved report."""
    experiment = catalogue.module(name)
    mode = catalogue.mode_of(experiment, mode)
    unused = {k for k, v in options.items() if v is not None}
    unused -= catalogue.settings(experiment)
    if distribution.is_first():
        print(f"{name} ({mode}): {experiment.CLAIM}", flush=True)
    if unused:
        flags = ", ".join(f"--{k.replace('_', '-')}" for k in sorted(unused))
        print(f"  (makes no use of {flags})")
    configuration = catalogue.configuration(experiment, mode, options)
    started = time.perf_counter()
    outcome = experiment.run(configuration, workspace)
    report = Report(
        name=name,
        claim=experiment.CLAIM,
        mode=mode,
        command=_command(name, mode, options),
        data=outcome.data,
        provenance=provenance(dataclasses.asdict(configuration)),
        tolerances=digest(),
        seconds=time.perf_counter() - started,
        findings=outcome.findings,
        question=catalogue.question(experiment),
    )
    distribution.wait(name)  # nobody needs the unfinished grids any more
    if distribution.is_first():
        save_report(report, workspace.out)
        workspace.clear()
    return report


def _command(name: str, mode: str, options: dict[str, Any]) -> str:
    """What to type for this run; a folder of the user's is called FOLDER."""
    typed = ["python -m experiments run", name]
    typed += [] if mode == "default" else [f"--{mode}"]
    for key, value in options.items():
        if value is not None and key in catalogue.settings(catalogue.module(name)):
            shown = shlex.quote(shared(value))
            flag = f"--{key.replace('_', '-')}"
            typed.append(flag if value is True else f"{flag} {shown}")
    return " ".join(typed)


def _load_once(name: str, mode: str, options: dict[str, Any]) -> None:
    """Meet the errors of an experiment's data before anything is run."""
    experiment = catalogue.module(name)
    mode = catalogue.mode_of(experiment, mode)
    asked = catalogue.configuration(experiment, mode, options)
    if isinstance(asked, DataSettings):
        asked.load_data()


def _say(text: str) -> None:
    if distribution.is_first():
        print(f"  {text}", flush=True)


def verdicts(
    folder: tyro.conf.Positional[words.Results] = Path("results"),
    *,
    as_json: words.Flag = False,
) -> None:
    """Print the table of verdicts from saved results, and what would change them.

    For example:
      python -m experiments verdicts
      python -m experiments verdicts experiments/outcomes --as-json

    Args:
        folder: that `run` wrote.
        as_json: as a list of objects, one for each verdict.
    """
    reports = summary.reports(folder)
    if as_json:
        objects = [one for report in reports for one in verdict_objects(report)]
        print(json.dumps(objects, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(summary.terminal_table(reports))


def report(
    folder: tyro.conf.Positional[words.Results] = Path("results"),
    *,
    out: words.File = None,
) -> None:
    """Write one HTML page of saved results, to be read without a network.

    For example:
      python -m experiments report
      python -m experiments report results/smoke --out page.html

    Args:
        folder: that `run` wrote.
        out: the page; report.html in the folder if not given.
    """
    print(page.write(folder, out))


def readme() -> None:
    """Write the README's generated parts anew, from the saved outcomes.

    For example:
      python -m experiments readme
    """
    summary.update_readme()


COMMANDS = {
    "list": list_,
    "run": run,
    "verdicts": verdicts,
    "report": report,
    "readme": readme,
}


def main() -> None:
    """Run a subcommand; a bad argument ends with a sentence and exit code 2."""
    terminal.tolerate()
    jax.config.update("jax_num_cpu_devices", _cpu_devices())
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(_compile_cache()))
    if os.environ.get("NO_COLOR"):
        words.without_colours()
    try:
        words.run(COMMANDS, sys.argv[1:] or ["--help"], f"{__doc__}\n{EPILOG}")
        sys.stdout.flush()  # here, so that a closed pipe is met below
    except BrokenPipeError:  # `| head` has read enough; nothing is left to flush to
        terminal.hang_up()
        sys.exit(exit_codes.READER_GONE)
    except (Exception, KeyboardInterrupt) as error:
        said, code = _ending(error)
        if not code:
            raise
        print(said, file=sys.stderr)
        sys.exit(code)


def _ending(error: BaseException) -> tuple[str, int]:
    """A sentence and an exit code; 0 for what is no user's to mend."""
    if isinstance(error, ValueError):
        return f"error: {error}", exit_codes.BAD_INPUT
    if isinstance(error, KeyboardInterrupt):
        said = "interrupted; what was finished is saved: go on with --resume"
        return said, exit_codes.INTERRUPTED
    if memory.is_exhausted(error):
        return f"error: out of memory: {error}", exit_codes.SAID_NO
    if isinstance(error, OSError) and error.errno in files.NO_ROOM:
        what = error.filename or "what is written"
        return (
            f"error: there is no room for {what} ({error.strerror}); what was finished "
            "is saved: make room, and go on with --resume"
        ), exit_codes.SAID_NO
    return "", 0


def _cpu_devices() -> int:
    """One for each core that this process may use; JAX_NUM_CPU_DEVICES overrides."""
    asked = os.environ.get("JAX_NUM_CPU_DEVICES")
    return int(asked) if asked else os.cpu_count() or 1


def _compile_cache() -> Path:
    """Where compiled programs are kept from one run to the next."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "wdjax" / "compiled"
