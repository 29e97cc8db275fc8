"""Who judges: evaluate, cases, calibrate, simulate, schedule, alerts."""
