"""Where an experiment runs: its folder, its words, its grids, which lose nothing."""

import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import PyTree
from matplotlib.figure import Figure

from experiments.harness.figures import save_figure
from experiments.harness.progress import CellBar
from wdjax import sweep
from wdjax.sweep import Progress
from wdjax.sweep.cells import Plan

Watch = Callable[[str, Progress], None]


@dataclasses.dataclass(frozen=True)
class Workspace:
    """What an experiment is given beside its configuration.

    Attributes:
        out: folder of all that is written.
        say: prints one line.
        experiment: its name, which its unfinished grids are filed under.
        resume: go on with unfinished grids.
        watches: told the name of a grid and its progress, beside the bar.
    """

    out: Path
    say: Callable[[str], None]
    experiment: str = "experiment"
    resume: bool = False
    watches: tuple[Watch, ...] = ()

    @property
    def unfinished(self) -> Path:
        """The folder of grids in flight and of finished ones still to be judged."""
        return self.out / ".unfinished" / self.experiment

    def run(
        self,
        name: str,
        train: Callable[..., Any],
        grid: Plan,
        data: PyTree,
        *,
        configuration: Mapping[str, Any],
        record_steps: np.ndarray | None = None,
    ) -> xr.Dataset:
        """:func:`wdjax.sweep.run` in a folder of its own, with a bar.

        Args:
            name: of the grid, for the bar, the folder and the logs.
            train: see there, as all that follows.
            grid: of cells, or a design.
            data: the first argument of ``train``.
            configuration: all settings of the experiment.
            record_steps: the coordinate of curves.
        """
        with CellBar(name, self.say) as bar:

            def progress(news: Progress) -> None:
                bar(news)
                for watch in self.watches:
                    watch(name, news)

            return sweep.run(
                train,
                grid,
                data,
                record_steps=record_steps,
                progress=progress,
                folder=self.unfinished / re.sub(r"\W+", "_", name.lower()),
                resume=self.resume,
                configuration=configuration,
                say=self.say,
            )

    def save(self, result: xr.Dataset, name: str) -> None:
        """Write a result into the folder; of several processes, the first does."""
        if jax.process_index() == 0:
            sweep.save(result, self.out / name)

    def save_figure(self, figure: Figure, stem: str) -> None:
        """Write a figure into the folder; of several processes, the first does."""
        if jax.process_index() == 0:
            save_figure(figure, self.out / stem)
            self.say(f"figure: {self.out / stem}.svg")

    def clear(self) -> None:
        """Remove the experiment's unfinished grids, once all is judged and saved."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
