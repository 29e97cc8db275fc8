"""Scores to promote, hold or rollback, with reasons; the numbers come from `evidence`.

The way of a pair: `facts` and `columns` (records as arrays) -> `trial` (counts it) -> `claims` (a `gates.Gate` as
tests: what proves it, what breaks it) -> `decide` (the lattice, under `rules`) -> `assessment` (the verdict and the
numbers for people). `soundness` says what can't be trusted, `summary` and `explain` what people read, `kayenta` what
Spinnaker's rule would say.
"""
