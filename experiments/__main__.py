"""``python -m experiments``: list the experiments, run them, judge them."""

import sys

if __name__ == "__main__":
    try:
        from experiments.harness.cli import main
    except ModuleNotFoundError as error:
        sys.exit(
            f"The experiments need the package {error.name}, which is not installed: "
            'run `pip install "wdjax[experiments]"`.'
        )
    main()
