"""Write a folder's results as one HTML page.

The folder holds what `python -m experiments run` wrote, or results that
`wdjax.sweep.save` did. The page needs no network and nothing beside it.

Examples:
  wdjax report results
  wdjax report results --out page.html
  wdjax report my_sweep --meaning optax:adamw
"""

import argparse
from pathlib import Path

# As shtab asks for them, which completes the words of a shell.
DIRECTORIES = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    folder = parser.add_argument(
        "folder", type=Path, metavar="DIR", help="with the results"
    )
    folder.complete = DIRECTORIES  # pyright: ignore[reportAttributeAccessIssue]
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page; DIR/report.html if not given",
    )
    parser.add_argument(
        "--meaning",
        metavar="MEANING",
        help="what λ means in results that do not say so; see wdjax convert --list",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    try:
        from wdjax.report import page
    except ImportError as error:
        raise ValueError(
            f"The report needs {error.name or 'xarray'}, which is not installed: "
            'run `pip install "wdjax[experiments]"`.'
        ) from None
    print(page.write(arguments.folder, arguments.out, meaning=arguments.meaning))
    return 0
