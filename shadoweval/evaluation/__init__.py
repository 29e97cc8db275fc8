"""From stored pairs to verdicts: evaluate, suites of cases, calibrate, simulate, schedule, alerts."""
