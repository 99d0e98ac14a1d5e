"""Where languages lie on the page: the Equal Earth projection, and points that do not hide each other.

Šavrič, Patterson and Jenny 2018, "The Equal Earth map projection": areas stay equal, so no continent looks
larger than it is. The middle meridian is 11° E, so that the cut runs through the Bering Strait.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT = 960, 420
MIDDLE = 11.0
_NORTH = 83.5
_A = (1.340264, -0.081106, 0.000893, 0.003796)


def project(longitude: float, latitude: float) -> tuple[float, float]:
    """Degrees to x, y in the frame of `WIDTH` and `HEIGHT`, y downwards.

    >>> [round(v) for v in project(11.0, 0.0)], [round(v) for v in project(191.0, 0.0)]
    ([480, 231], [960, 231])
    """
    x, y = _equal_earth((longitude - MIDDLE + 180) % 360 - 180 if longitude != MIDDLE + 180 else 180.0, latitude)
    scale = WIDTH / 2 / _equal_earth(180.0, 0.0)[0]
    return WIDTH / 2 + x * scale, (_equal_earth(0.0, _NORTH)[1] - y) * scale


def _equal_earth(longitude: float, latitude: float) -> tuple[float, float]:
    theta = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(latitude)))
    t2 = theta * theta
    t6 = t2**3
    slope = _A[0] + 3 * _A[1] * t2 + t6 * (7 * _A[2] + 9 * _A[3] * t2)
    x = 2 * math.sqrt(3) * math.radians(longitude) * math.cos(theta) / (3 * slope)
    return x, theta * (_A[0] + _A[1] * t2 + t6 * (_A[2] + _A[3] * t2))


def outline() -> str:
    """The land as the `d` of one SVG path, in the frame of `project`. Natural Earth 1:110m, public domain."""
    path = Path(__file__).parents[2] / "assets" / "outline" / "land-110m.txt"
    return "".join(line for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("#"))


def apart(points: Sequence[tuple[float, float]], distance: float, rounds: int = 60) -> list[tuple[float, float]]:
    """Push points until no two are nearer than `distance`, or `rounds` are over; the same points, the same answer.

    >>> a, b = apart([(50.0, 50.0), (50.0, 50.0)], 4.0)
    >>> round(math.dist(a, b), 1)
    4.0
    """
    placed = [list(p) for p in points]
    for turn in range(rounds):
        moved = False
        for i in range(len(placed)):
            for j in range(i):
                dx, dy = placed[i][0] - placed[j][0], placed[i][1] - placed[j][1]
                if abs(dx) >= distance or abs(dy) >= distance:
                    continue
                gap = math.hypot(dx, dy)
                if gap >= distance - 0.01:
                    continue
                push = (distance - gap) / 2
                if gap < 1e-6:  # the golden angle: points of one place spread evenly
                    angle = 2.39996 * (i + turn)
                    dx, dy, gap = math.cos(angle), math.sin(angle), 1.0
                placed[i][0] += dx / gap * push
                placed[i][1] += dy / gap * push
                placed[j][0] -= dx / gap * push
                placed[j][1] -= dy / gap * push
                moved = True
        if not moved:
            break
    return [(min(WIDTH - 6.0, max(6.0, x)), min(HEIGHT - 6.0, max(6.0, y))) for x, y in placed]


def frame(points: Sequence[tuple[float, float]], margin: float = 30.0) -> tuple[float, float, float, float]:
    """The part of the map to show, x, y, width, height: what holds the points, a third of the world at least.

    >>> frame([]), frame([(0.0, 0.0), (960.0, 420.0)])
    ((0.0, 0.0, 960.0, 420.0), (0.0, 0.0, 960.0, 420.0))
    """
    if not points:
        return 0.0, 0.0, float(WIDTH), float(HEIGHT)
    xs, ys = zip(*points, strict=True)
    shape = WIDTH / HEIGHT
    w = max(WIDTH / 3, max(xs) - min(xs) + 2 * margin, shape * (max(ys) - min(ys) + 2 * margin))
    w = min(float(WIDTH), w)
    h = w / shape
    x = min(WIDTH - w, max(0.0, (max(xs) + min(xs) - w) / 2))
    y = min(HEIGHT - h, max(0.0, (max(ys) + min(ys) - h) / 2))
    return x, y, w, h
