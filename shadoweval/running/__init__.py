"""Who turns the handle: worker, evaluation, schedule, case files, notices."""
