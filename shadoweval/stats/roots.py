"""Where a falling curve crosses zero, approached from the side that counts as rejected."""

from collections.abc import Callable

_SMALLEST = 1e-9
_MOST_STEPS = 100


def rejected_part(excess: Callable[[float], float], *, guess: float, tolerance: float) -> float:
    """The largest part in (0, 1] known to have excess >= 0, to the tolerance; 0 when there is none.

    Regula falsi with every third step a bisection, so that it can't stall.

    Args:
        excess: Falls from left to right on (0, 1], and is negative at 1.
        guess: Where the crossing may be; any number will do.
        tolerance: Widest bracket to stop at.
    """
    left, right = _SMALLEST, 1.0
    at_left, at_right = excess(left), excess(right)
    if at_left < 0:
        return 0.0
    if at_right >= 0:
        return right
    for step in range(_MOST_STEPS):
        width = right - left
        if width <= tolerance:
            break
        if step == 0 and left < guess < right:
            middle = guess
        elif step % 3:
            middle = right - at_right * width / (at_right - at_left)
        else:
            middle = left + width / 2
        middle = min(max(middle, left + 0.01 * width), right - 0.01 * width)
        value = excess(middle)
        if value >= 0:
            left, at_left = middle, value
        else:
            right, at_right = middle, value
    return left
