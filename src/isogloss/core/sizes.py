"""How many test rows an interval needs, and what interval some rows give."""

from __future__ import annotations

import math

Z95 = 1.96
# Macro-F1 weighs every class alike, so that rare ones widen it: as a factor of the interval of accuracy. Entity F1 counts
# entities, which come several to a row and lean on each other. Both assumed; the report has the real interval.
WIDER = {"accuracy": 1.0, "macro_f1": 1.2, "entity_f1": 1.2, "recall_at_1": 1.0, "exact_match": 1.0}


def half_width(n: int, share: float = 0.8, metric: str = "accuracy") -> float:
    """Half of the 95 % interval of a share that n rows give (Wilson 1927, at its widest side), 0..1.

    >>> round(half_width(250), 3), round(half_width(0), 1)
    (0.054, 1.0)
    """
    if n < 1:
        return 1.0
    z2 = Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return min(1.0, max(share - (centre - reach), centre + reach - share) * WIDER.get(metric, 1.0))


def rows_for(width: float, share: float = 0.8, metric: str = "accuracy") -> int:
    """The fewest rows whose 95 % interval is not wider than ± `width`.

    >>> rows_for(0.05), rows_for(0.1)
    (289, 81)
    """
    if not 0 < width < 1:
        raise ValueError(f"the half-width of an interval is between 0 and 1, got {width}")
    low, high = 1, 2
    while half_width(high, share, metric) > width:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if half_width(middle, share, metric) <= width else (middle + 1, high)
    return low


def rows_to_see(drop: float, share: float = 0.8) -> int:
    """Paired rows on which a drop of so much is told from chance four times of five, where a tenth of the answers differ.

    A sign test on the rows that differ, normal approximation, two-sided at 0.05, power 0.8 (Connor 1987).

    >>> rows_to_see(0.05)
    312
    """
    discordant = max(0.1, drop)
    need = (Z95 * math.sqrt(discordant) + 0.8416 * math.sqrt(discordant - drop * drop)) ** 2 / (drop * drop)
    return math.ceil(need)
