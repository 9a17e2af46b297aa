"""Weight decay and L2 regularisation in JAX and Optax."""

__version__ = "0.1.0"
