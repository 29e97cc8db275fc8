"""Where a falling curve crosses zero, approached from the side that counts as rejected."""

from collections.abc import Callable

__all__ = ["rejected_part"]

_SMALLEST = 1e-9
_MOST_STEPS = 100


def rejected_part(excess: Callable[[float], float], *, guess: float, tolerance: float) -> float:
    """The largest part in (0, 1] known to have excess >= 0, to the tolerance; 0 when there is none.

    Chandrupatla (1997), "A new hybrid quadratic/bisection algorithm": inverse quadratic interpolation where the curve
    allows it, else bisection.

    Args:
        excess: Falls from left to right on (0, 1], and is negative at 1.
        guess: Where the crossing may be; any number will do.
        tolerance: Widest bracket to stop at.
    """
    a, b = _SMALLEST, 1.0
    at_a, at_b = excess(a), excess(b)
    if at_a < 0:
        return 0.0
    if at_b >= 0:
        return b
    x = guess if a < guess < b else 0.5
    for _ in range(_MOST_STEPS):
        at_x = excess(x)
        # The crossing stays between a, the latest point, and b; c is the point that was let go.
        if (at_x >= 0) == (at_a >= 0):
            c, at_c = a, at_a
        else:
            c, at_c, b, at_b = b, at_b, a, at_a
        a, at_a = x, at_x
        width = abs(b - a)
        if width <= tolerance:
            break
        part, xi, phi = 0.5, (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
        if phi * phi < xi and (1 - phi) ** 2 < 1 - xi:
            part = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            part += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
        edge = 0.5 * tolerance / width
        x = a + min(max(part, edge), 1 - edge) * (b - a)
    return a if at_a >= 0 else b
