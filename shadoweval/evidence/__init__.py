"""The engine of every verdict: numbers in, numbers out; it knows nothing of pipelines, stores or reports.

Pairs of scores become bounded variables (`variables`, `quantiles`) of independent units (`sessions`); `histbet` weighs
the mean of each by bets that are fixed in advance (`bets`); `looks` says what that is worth to someone who looks
always or once, `multiplicity` what several of them are worth together, `decay` what the newest ones say, `slices` what
the parts of the traffic say, `validity` whether to trust any of it, `planning` how long it takes, `ratios` what people
read of costs. `ppi` and `drift` decide nothing yet: the first will let people's labels correct a judge, the second
will watch the traffic that a promoted candidate meets.

Wherever an input does not fit what a guarantee rests on (not finite, out of range, of unlike lengths, too few, a state
that is damaged or of another class) `StatsInputError` is raised; its message says what and where.
"""
