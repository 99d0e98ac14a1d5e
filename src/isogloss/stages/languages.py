"""languages: the table, what is known of one language, and which languages lie near it, with the reasons."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isogloss.core import lang, typology
from isogloss.core.errors import InputError, MissingError, nearest
from isogloss.core.lang import UNKNOWN, Lang
from isogloss.core.say import Say
from isogloss.core.typology import HALF_WAY_KM, Distance

ALL = "all"
IN_ALL = ("genetic", "geographic", "syntactic", "phonological", "inventory", "qwals")  # the others say them again
MIDDLE = 0.5  # the place of a distance that nobody knows
THIN = 20  # features known of both at which a distance counts half, the middle the other half
_WAYS = {"ltr": "left to right", "rtl": "right to left", "ttb": "top to bottom"}
_RESOURCES = "0 the least, 5 the most labelled and unlabelled text; Joshi et al. 2020"


@dataclass(frozen=True)
class Near:
    """A language beside the one asked for.

    `place`: where it stands among all languages, 0 the nearest to 1 the farthest, the mean over the kinds that rank it;
    `distances` has every kind, also what is unknown; `shared` the groups that both belong to.
    """

    tag: str
    name: str
    place: float
    distances: tuple[Distance, ...]
    shared: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """What is known of a language: its row, its groups, how much of it the sources have, and its neighbours."""

    asked: str
    note: str | None
    row: Lang
    groups: tuple[str, ...]
    also: tuple[str, ...]
    typology: tuple[dict[str, Any], ...]
    by: str
    near: tuple[Near, ...]
    why_none: str

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "asked": self.asked,
            "note": self.note,
            **row_document(self.row),
            "groups": list(self.groups),
            "also": list(self.also),
            "typology": list(self.typology),
            "by": self.by,
            "near": [
                {
                    "tag": near.tag,
                    "name": near.name,
                    "place": round(near.place, 4),
                    "shared": list(near.shared),
                    "reasons": list(near.reasons),
                    "distances": {each.kind: _rounded(each) for each in near.distances},
                }
                for near in self.near
            ],
            "why_none": self.why_none or None,
            "install": None if typology.available() else typology.INSTALL,
        }


def _rounded(found: Distance) -> dict[str, Any]:
    numbers = {name: None if value is None else round(value, 4) for name, value in asdict(found).items() if name in (
        "value", "low", "high", "coverage")}  # fmt: skip
    return {**numbers, "n": found.n, "why": found.why}


def row_document(row: Lang) -> dict[str, Any]:
    """A row of the table as plain JSON; null where nobody told us."""
    cells = {"tag": row.tag, "name": row.name, "script": row.script, **asdict(row)}
    return {name: None if value == UNKNOWN else value for name, value in cells.items()}


# -- the table ---------------------------------------------------------------------------------------------------


def rows(*, family: str | None = None, script: str | None = None, resource: str | None = None) -> list[Lang]:
    """The rows of the table that a family (or genus), a script and a resource class leave.

    Raises InputError for what no row has, with the nearest that one has.
    """
    found = list(lang.table().values())
    if family is not None:
        known = {name.casefold(): name for row in found for name in (row.family, row.genus)}
        wanted = _one_of("family or genus", family, known)
        found = [row for row in found if wanted in (row.family, row.genus)]
    if script is not None:
        wanted = _one_of("script", script, {row.script.casefold(): row.script for row in lang.table().values()})
        found = [row for row in found if row.script == wanted]
    if resource is not None:
        wanted = _one_of("resource class", resource, {row.resource: row.resource for row in lang.table().values()})
        found = [row for row in found if row.resource == wanted]
    return found


def _one_of(what: str, given: str, known: dict[str, str]) -> str:
    """The spelling of the table. Raises InputError when it has no such thing."""
    wanted = known.get(given.strip().casefold())
    if wanted is None:
        raise InputError(f"no language of the table has the {what} '{given}'{nearest(given, known.values())}")
    return wanted


def table_lines(found: Sequence[Lang]) -> list[list[str]]:
    """The table for a terminal, a head and a row a language."""
    head = ["language", "script", "family", "genus", "resource", "speakers"]
    return [head, *([
        f"{row.tag} {row.name}", row.script, row.family, row.genus, row.resource,
        "" if row.speakers is None else f"{row.speakers:,}",
    ] for row in found)]  # fmt: skip


# -- one language ------------------------------------------------------------------------------------------------


def languages(
    code: str,
    *,
    near: int = 10,
    by: str = ALL,
    among: Iterable[Lang] | None = None,
    say: Say | None = None,
) -> Known:
    """What is known of a language, given in any way of writing it, and the `near` languages nearest to it.

    `by` is a kind of distance, or "all": languages are ordered by their place among all languages, drawn to the middle
    where a distance rests on few features; for "all" by the mean over IN_ALL, in the middle where one is unknown.
    `among` are the rows that may be neighbours, all by default. Raises DataError for what is no language, InputError
    for what is no kind, MissingError when the kind needs data that is not here.
    """
    say = say or Say()
    if by != ALL and by not in typology.KINDS:
        raise InputError(f"languages are near by one of {', '.join(typology.KINDS)} or by all; got '{by}'{_close(by)}")
    if by != ALL and not typology.known(by):
        raise MissingError(f"{by} distances need the data of the package urielplus: {typology.INSTALL}")
    read = lang.resolve(code)
    row = lang.facts(read.tag)
    note = read.note
    if note is None and code.strip() != row.tag:
        note = f"'{code.strip()}' is read as {row.tag} ({row.name})"
    if note:
        say.note(note)
    ranked_by = [kind for kind in IN_ALL if typology.known(kind)] if by == ALL else [by]
    if by == ALL and not typology.available():
        *most, last = (kind for kind in typology.KINDS if kind not in typology.PACKAGED)
        say.note(f"{', '.join(most)} and {last} distances need the data of the package urielplus: {typology.INSTALL}")
    candidates = _candidates(row.tag, lang.table().values() if among is None else among)
    found, why_none = _nearest(row.tag, candidates, ranked_by, near)
    return Known(
        asked=code,
        note=note,
        row=row,
        groups=typology.lineage(row.tag),
        also=tuple(tag for tag in lang.table() if tag[:3] == row.tag[:3] and tag != row.tag),
        typology=tuple(_extents(row.tag)),
        by=by,
        near=tuple(_near(row.tag, tag, place) for tag, place in found),
        why_none=why_none,
    )


def _close(by: str) -> str:
    close = nearest(by, (*typology.KINDS, ALL))
    return close if close.startswith("; did") else ""


def _candidates(tag: str, among: Iterable[Lang]) -> list[str]:
    """A tag for each other language: in the same script where it is written in it, else in its usual one."""
    chosen: dict[str, str] = {}
    for row in among:
        if row.tag[:3] != tag[:3] and (row.tag[:3] not in chosen or row.script == tag[4:]):
            chosen[row.tag[:3]] = row.tag
    return list(chosen.values())


def _nearest(tag: str, candidates: list[str], kinds: list[str], n_near: int) -> tuple[list[tuple[str, float]], str]:
    """The `n_near` nearest with their place 0..1, and why there are none."""
    if not candidates:
        return [], "no other language of the table is left"
    places = np.full((len(kinds), len(candidates)), MIDDLE)
    unknown = np.ones(len(candidates), bool)
    ties = np.zeros(len(candidates))
    for row, kind in zip(places, kinds, strict=True):
        values, n = typology.matrix([tag], candidates, kind)[0], typology.counts([tag], candidates, kind)[0]
        has = ~np.isnan(values)
        # equal distances share a place; the nearest have place 0
        row[has] = np.searchsorted(np.sort(values[has]), values[has]) / max(1, int(has.sum()) - 1)
        if kind not in ("genetic", "geographic"):
            row[has] = (n[has] * row[has] + THIN * MIDDLE) / (n[has] + THIN)
        unknown &= ~has
        ties -= n
    if unknown.all():
        reasons = dict.fromkeys(typology.stand_in(tag, kind)[1] for kind in kinds)
        return [], "; ".join(reason for reason in reasons if reason) or "no distance is known"
    mean = places.mean(axis=0)
    order = [i for i in np.lexsort((np.array(candidates), ties, mean)) if not unknown[i]]
    return [(candidates[i], float(mean[i])) for i in order[:n_near]], ""


def _extents(tag: str) -> Iterable[dict[str, Any]]:
    """How much of a language each source has."""
    for kind in typology.KINDS:
        if kind in ("genetic", "geographic", "qwals_01"):
            continue
        n, n_all = typology.extent(tag, kind)
        read_as, why = typology.stand_in(tag, kind)
        yield {"kind": kind, "n": n, "n_all": n_all, "read_as": read_as, "why": why}


def _near(tag: str, other: str, place: float) -> Near:
    distances = tuple(typology.distance(tag, other, kind) for kind in typology.KINDS)
    shared = typology.shared_lineage(tag, other)
    return Near(other, lang.facts(other).name, place, distances, shared, tuple(_reasons(tag, other, shared, distances)))


def _reasons(tag: str, other: str, shared: tuple[str, ...], distances: Sequence[Distance]) -> Iterable[str]:
    """Why a language is near, or how far, in phrases."""
    here, there = lang.facts(tag), lang.facts(other)
    yield f"{'same script' if here.script == there.script else 'another script'} ({there.script})"
    if shared:
        yield f"both {shared[-1]}" + (f", in {shared[0]}" if len(shared) > 1 else "")
    elif typology.stand_in(tag, "genetic")[0] and typology.stand_in(other, "genetic")[0]:
        yield f"of another family ({there.family})" if there.family != UNKNOWN else "of another family"
    else:
        yield "kinship unknown"
    by_kind = {each.kind: each for each in distances}
    if (value := by_kind["geographic"].value) is not None:
        yield f"{value * HALF_WAY_KM:,.0f} km apart"
    qwals = by_kind["qwals"]
    if qwals.value is not None:
        span = f"[{qwals.low:.2f}, {qwals.high:.2f}]"
        yield f"qwals {qwals.value:.2f} {span} on {qwals.n} features, {qwals.coverage:.0%} of all"
    else:
        yield f"qwals unknown, {qwals.n} features known of both"
    read_as: dict[str, list[str]] = {}
    for each in distances:
        code = typology.stand_in(other, each.kind)[0]
        if code not in (None, other[:3]):
            read_as.setdefault(str(code), []).append(each.kind)
    if read_as:
        yield f"{other[:3]} is read as " + " and as ".join(f"{c} ({', '.join(ks)})" for c, ks in read_as.items())
    same = [
        d.kind
        for d in distances
        if d.value == 0 and typology.stand_in(tag, d.kind)[0] == typology.stand_in(other, d.kind)[0]
    ]
    if same:
        yield f"not told apart in {', '.join(same)}"


# -- for a terminal ----------------------------------------------------------------------------------------------


def lines(found: Known, width: int) -> list[str]:
    """What is known of a language, as text; the neighbours come with `near_rows`."""
    row = found.row
    own = "" if row.endonym in (UNKNOWN, row.name) else f" ({row.endonym})"
    out = [f"{row.tag}  {row.name}{own}", ""]
    for name, text in _facts(found):
        out += textwrap.wrap(text, max(20, width - 18), initial_indent=f"  {name:<14}  ", subsequent_indent=" " * 18)
    return out


def _facts(found: Known) -> Iterable[tuple[str, str]]:
    row = found.row
    also = f"; also {', '.join(found.also)}" if found.also else ""
    yield "script", f"{row.script}, {_WAYS.get(row.direction, UNKNOWN)}{also}"
    yield "family", " > ".join(found.groups) or row.family
    yield "genus", row.genus
    if row.latitude is None or row.longitude is None:
        yield "place", UNKNOWN
    else:
        north, east = "N" if row.latitude >= 0 else "S", "E" if row.longitude >= 0 else "W"
        yield "place", f"{abs(row.latitude):.2f}° {north}, {abs(row.longitude):.2f}° {east}"
    yield "speakers", UNKNOWN if row.speakers is None else f"{row.speakers:,}"
    yield "resource class", UNKNOWN if row.resource == UNKNOWN else f"{row.resource} ({_RESOURCES})"
    yield "macrolanguage", "none known" if row.macrolanguage == UNKNOWN else row.macrolanguage
    yield "words", {True: "separated by spaces", False: "not separated by spaces", None: UNKNOWN}[row.spaces]
    yield "digits", row.digits
    codes = (("BCP 47", row.bcp47), ("Glottolog", row.glottocode))
    yield "codes", ", ".join(f"{of} {code}" for of, code in codes if code != UNKNOWN) or UNKNOWN
    known = []
    for each in found.typology:
        if each["n_all"]:
            other = f" (read as {each['read_as']})" if each["read_as"] not in (None, row.tag[:3]) else ""
            known.append(f"{each['kind']} {each['n']} of {each['n_all']}{other}")
    yield "features known", ", ".join(known) + ("" if typology.available() else f"; more with: {typology.INSTALL}")


def near_head(found: Known, width: int) -> list[str]:
    """The sentence above the neighbours, as text."""
    if found.by == ALL:
        what = "place: 0 nearest, 1 farthest; the mean over the distances beside it, drawn to 0.5 where little is known"
    else:
        what = f"{found.by}: {typology.MEANS[found.by]}"
        if found.by not in ("genetic", "geographic"):
            what += "; where few features are known of both, the place in this list is drawn to the middle"
    return textwrap.wrap(f"nearest to {found.row.tag}. {what}", width)


def near_rows(found: Known) -> list[list[str]]:
    """The neighbours for a terminal, a head and a row each; distances with their intervals when one kind is asked."""
    if found.by != ALL:
        rows = [["language", found.by, "interval", "known of both", "coverage"]]
        for near in found.near:
            each = next(d for d in near.distances if d.kind == found.by)
            span = "" if each.low is None else f"[{each.low:.2f}, {each.high:.2f}]"
            rows.append([f"{near.tag} {near.name}", _number(each), span, str(each.n), f"{each.coverage:.0%}"])
        return rows
    kinds = [kind for kind in IN_ALL if typology.known(kind)]
    rows = [["language", "place", *kinds]]
    for near in found.near:
        by_kind = {each.kind: each for each in near.distances}
        cells = [_number(by_kind[kind]) for kind in kinds]
        rows.append([f"{near.tag} {near.name}", f"{near.place:.2f}", *cells])
    return rows


def _number(found: Distance) -> str:
    return "–" if found.value is None else f"{found.value:.2f}"


def reasons_lines(near: Near, width: int) -> list[str]:
    """Why a language stands among the neighbours, as text."""
    text = f"{near.tag}: {'; '.join(near.reasons)}"
    return textwrap.wrap(text, width, subsequent_indent="          ")
