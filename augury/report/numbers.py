"""Numbers in words and figures: signs, digits, durations."""

import math
from collections.abc import Iterable


def signed(points: float, digits: int = 2) -> str:
    """0.4242 -> "+0.42", -0.3 -> "−0.30" with a true minus; what rounds to zero has no sign."""
    text = f"{abs(points):.{digits}f}"
    if not float(text):
        return text
    return ("−" if math.copysign(1, points) < 0 else "+") + text


def points_of(fraction: float, digits: int = 2) -> str:
    """A share in percentage points: 0.004242 -> "+0.42"."""
    return signed(100 * fraction, digits)


def points_between(low: float, high: float, digits: int = 2) -> str:
    """-0.003, 0.004242 -> "−0.30 to +0.42"."""
    return f"{points_of(low, digits)} to {points_of(high, digits)}"


def axis_label(fraction: float) -> str:
    """A share in percentage points, in as few digits as it has: 0.005 -> "+0.5", 0.0 -> "0"."""
    return f"{100 * fraction:+.6g}".replace("-", "−") if fraction else "0"


def scientific(value: float) -> str:
    """3.2e-16 -> "3e−16"; 0 as it is."""
    return f"{value:.0e}".replace("e-", "e−").replace("e−0", "e−") if value else "0"


def large(value: float) -> str:
    """1234567 -> "1.23 × 10⁶"."""
    for size, power in ((1e15, "10¹⁵"), (1e12, "10¹²"), (1e9, "10⁹"), (1e6, "10⁶")):
        if value >= size:
            return f"{value / size:.3g} × {power}"
    return f"{value:,.0f}"


def percent(fraction: float, digits: int = 1) -> str:
    """0.4242 -> "42.4%"."""
    return f"{100 * fraction:.{digits}f}%"


def decimals(values: Iterable[float | None], figures: int) -> int:
    """Digits after the point that give the smallest of the values so many significant ones; up to 6, 2 if all are 0."""
    sizes = [abs(value) for value in values if value]
    return min(6, max(0, figures - 1 - math.floor(math.log10(min(sizes))))) if sizes else 2


def number(value: float | None, digits: int = 2) -> str:
    """-1234.56 -> "−1,234.56" with a true minus; "—" for None."""
    if value is None:
        return "—"
    text = f"{abs(value):,.{digits}f}"
    return f"−{text}" if value < 0 and text.strip("0.,") else text


def duration(seconds: float) -> str:
    """7.24 -> "7.2 s", 83.4 -> "1 min 23 s", 5025.0 -> "1 h 24 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
