"""``python -m experiments``: list the experiments, run them, judge them."""

import sys

if __name__ == "__main__":
    try:
        from experiments.harness.cli import main
    except ModuleNotFoundError as error:
        print(
            f"The experiments need the package {error.name}, which {sys.executable} "
            'does not have: run `pip install "wdjax[experiments]"`, or, if '
            "./scripts/run made a .venv here, `source .venv/bin/activate`.",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)  # nothing has begun
    main()
