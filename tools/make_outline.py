"""Make src/isogloss/assets/outline/land-110m.txt, the land of the report's map, from Natural Earth's 1:110m land.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python tools/make_outline.py package/land-110m.json

The TopoJSON is decoded, projected as the page projects its points, thinned (Douglas and Peucker 1973) and written as
one SVG path with relative coordinates.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

from isogloss.stages.pages.worldmap import HEIGHT, MIDDLE, project

Point = tuple[float, float]
OUT = Path(__file__).parents[1] / "src" / "isogloss" / "assets" / "outline" / "land-110m.txt"
TOLERANCE = 0.25  # of the 960 units that the map is wide
SMALLEST = 0.8  # square units; smaller islands are left out
HEAD = """\
# The land of the earth as one SVG path, Equal Earth projection, middle meridian 11 E, 960 units wide.
# Source: Natural Earth 1:110m land (naturalearthdata.com, public domain), through world-atlas 2.0.2 (ISC).
# Made by tools/make_outline.py; mend that file, not this one.
"""


def arcs(topology: dict[str, Any]) -> list[list[Point]]:
    """Undo quantisation and delta coding: the arcs in degrees."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    found = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * sx + tx, y * sy + ty))
        found.append(line)
    return found


def rings(topology: dict[str, Any]) -> list[list[Point]]:
    """Every ring of every polygon; a negative arc number is that arc backwards."""
    lines = arcs(topology)
    found = []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons:
            for ring in polygon:
                points: list[Point] = []
                for number in ring:
                    line = lines[number] if number >= 0 else lines[~number][::-1]
                    points.extend(line[1:] if points else line)
                found.append(points)
    return found


def thin(points: list[Point], tolerance: float) -> list[Point]:
    """Douglas and Peucker's line simplification, without recursion."""
    keep = [False] * len(points)
    keep[0] = keep[-1] = True
    stack = [(0, len(points) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        far, at = max((_off(points[i], points[first], points[last]), i) for i in range(first + 1, last))
        if far > tolerance:
            keep[at] = True
            stack += [(first, at), (at, last)]
    return [p for p, kept in zip(points, keep, strict=True) if kept]


def _off(p: Point, a: Point, b: Point) -> float:
    """Distance of p from the line through a and b, or from a where they are one."""
    length = math.dist(a, b)
    if length == 0:
        return math.dist(p, a)
    return abs((b[0] - a[0]) * (a[1] - p[1]) - (a[0] - p[0]) * (b[1] - a[1])) / length


def area(points: list[Point]) -> float:
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, [*points[1:], points[0]], strict=True))) / 2


def place(ring: list[Point]) -> list[Point]:
    """Project a ring as a whole: unwound where it crosses 180 degrees, and east of the cut if most of it lies there."""
    longitudes = [ring[0][0]]
    for x, _ in ring[1:]:
        longitudes.append(x + 360 * round((longitudes[-1] - x) / 360))
    cut = MIDDLE - 180
    shift = 360 * math.ceil((cut - sum(longitudes) / len(longitudes)) / 360)
    return [project(max(cut, min(x + shift, MIDDLE + 180)), y) for x, (_, y) in zip(longitudes, ring, strict=True)]


def path(topology: dict[str, Any]) -> str:
    """The `d` of the path, with a line break after every ring."""
    found = []
    for ring in rings(topology):
        points = thin(place(ring), TOLERANCE)
        if area(points) < SMALLEST or max(y for _, y in points) > HEIGHT:
            continue
        tenths = [(round(x * 10), round(y * 10)) for x, y in points]
        moves = [
            f"{(bx - ax) / 10:g} {(by - ay) / 10:g}"
            for (ax, ay), (bx, by) in itertools.pairwise(tenths)
            if (ax, ay) != (bx, by)
        ]
        found.append(f"M{tenths[0][0] / 10:g} {tenths[0][1] / 10:g}l{' '.join(moves[:-1])}z".replace(" -", "-"))
    return "\n".join(found)


if __name__ == "__main__":
    made = HEAD + path(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))) + "\n"
    OUT.write_text(made, encoding="ascii")
    sys.stdout.write(f"{OUT}: {len(made):,} bytes\n")
