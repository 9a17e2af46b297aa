"""The subcommands of ``wdjax``: a module each, see :mod:`wdjax.cli`."""
