"""Scores to promote, hold or rollback, with reasons.

The way of the evidence: `columns` (pairs as arrays) -> `variables` (each claim is about the mean of one bounded
variable) -> `units` (duplicates and sessions count once) -> `trial` (a histogram per variable and slice) -> `claims`
(what proves a gate, what breaks it) -> `decide` (the lattice) -> `judge` (the verdict and the numbers for people).
`evidence` says what is unsound, `looks` how often someone may look, `explain` why a gate says what it says.
"""
