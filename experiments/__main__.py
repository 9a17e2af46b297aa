"""``python -m experiments``: list the experiments, run them, judge them."""

import sys

if __name__ == "__main__":
    try:
        from experiments.harness.cli import main
    except ModuleNotFoundError as error:
        print(
            f"The experiments need the package {error.name}, which is not installed: "
            'run `pip install "wdjax[experiments]"`.',
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)  # nothing has begun
    main()
