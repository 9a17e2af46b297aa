"""Experiments: one file per claim, named as the claim."""
