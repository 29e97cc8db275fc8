"""Collecting garbage for sure."""

import gc


def collect(generation: int = 2) -> None:
    """Collect what nobody refers to any more, once this was called.

    `gc.collect()` does nothing and returns 0 while another thread collects, which may stand still for long in what it
    frees. Here it has a cycle of its own to find.
    """
    while True:
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        if gc.collect(generation):
            return
