"""How far two languages lie apart, in eight ways, each with what it rests on.

`genetic` (Glottolog's groups), `geographic` (coordinates), `qwals` and `qwals_01` (WALS) come with the package, in
`assets/typology/`. `syntactic`, `phonological`, `inventory` and `featural` need the data of the package urielplus
(`pip install "isogloss[typology]"`), which is read with numpy and polars and never imported. Typology tables are
mostly holes: a distance says on how many features it rests, has an interval over features, and is None, with the
reason, where there are too few.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import BadZipFile

import numpy as np

from isogloss.core import lang
from isogloss.core.errors import DamagedError, InputError, nearest

KINDS = ("genetic", "geographic", "syntactic", "phonological", "inventory", "featural", "qwals", "qwals_01")
PACKAGED = ("genetic", "geographic", "qwals", "qwals_01")
INSTALL = 'pip install "isogloss[typology]"'
MEANS: Mapping[str, str] = MappingProxyType(
    {
        "genetic": "how few of Glottolog's groups, from the family down, they share",
        "geographic": "great circle between their places, as a share of half the way around the earth",
        "syntactic": "angle between what URIEL+ knows of their syntax",
        "phonological": "angle between what URIEL+ knows of their phonology",
        "inventory": "angle between the sounds that URIEL+ knows they have",
        "featural": "angle between all that URIEL+ knows of syntax, morphology, phonology and sounds",
        "qwals": "mean of |i-j|/(n-1) over the WALS features known of both, values in order",
        "qwals_01": "share of the WALS features known of both in which they differ",
    }
)
FEWEST = 10  # features known of both; below, the interval is as wide as the scale
THIN = 3  # a macrolanguage with more than so many times the features stands in for its member
HALF_WAY_KM = 20_015.0  # half of the earth's circumference

_RESAMPLES, _SEED = 1000, 17
# Databases of URIEL+ beside those in URIEL's own array; the rest is about proto-languages and kinds of English.
_DATABASES = ("grambank", "apics", "saphon")
_SOURCES = {"genetic": "Glottolog", "geographic": "the table of languages", "qwals": "WALS", "qwals_01": "WALS"}
# The first letters of a feature's name in URIEL+ say what it is about.
_PREFIXES = {
    "syntactic": ("S_",),
    "phonological": ("P_",),
    "inventory": ("INV_",),
    "featural": ("S_", "P_", "INV_", "M_"),
}


@dataclass(frozen=True, slots=True)
class Distance:
    """A distance of a kind between two languages, 0 (the same) to 1, and what it rests on.

    `low`, `high`: 95 % bootstrap interval over features; None for `genetic` and `geographic`, which have none.
    `coverage`: the features (groups, places) known of both over those there are; `n`: how many that is. `value` None:
    unknown, and `why` says why; else `why` says what stood in for what, and is often empty.
    """

    kind: str
    value: float | None
    low: float | None
    high: float | None
    coverage: float
    n: int
    why: str


def available() -> bool:
    """Return whether the data of urielplus is here, so that all KINDS can be measured."""
    return _folder() is not None


def known(kind: str) -> bool:
    """Return whether distances of this kind can be measured here. Raises InputError for what is no kind."""
    return _checked(kind) in PACKAGED or available()


@lru_cache(maxsize=65536)
def distance(a: str, b: str, kind: str) -> Distance:
    """Measure one distance between two tags; scripts play no part.

    `genetic`: 2/pi of the angle between the sets of groups, the language itself counted as the last one;
    `geographic`: great circle over half the way around the earth; `syntactic` to `featural`: 2/pi of the angle
    between the values that both have, as URIEL+ (Khan, Shipton et al. 2025) measures it; `qwals`: the mean of
    |i-j|/(n-1) over features both have, values in order, and `qwals_01` the share in which they differ (Eronen et al.
    2026). Raises DataError for what is no tag, InputError for what is no kind.

    >>> near = distance("swh_Latn", "zul_Latn", "genetic")
    >>> near.value < distance("swh_Latn", "eng_Latn", "genetic").value == 1.0
    True
    >>> distance("hin_Deva", "hin_Latn", "geographic").value
    0.0
    >>> distance("ido_Latn", "eng_Latn", "geographic").why
    'the table of languages has no coordinates of ido'
    """
    _checked(kind)
    one, other = _find(_code(a), kind), _find(_code(b), kind)
    if kind not in PACKAGED and not available():
        return Distance(kind, None, None, None, 0.0, 0, f"needs the data of urielplus: {INSTALL}")
    lacking = [found.why for found in dict.fromkeys((one, other)) if found.code is None]
    if one.code is None or other.code is None:
        return Distance(kind, None, None, None, 0.0, 0, "; ".join(lacking))
    whys = [found.why for found in dict.fromkeys((one, other)) if found.why]
    if one.code == other.code and a[:3] != b[:3]:
        whys.append(f"{_source(kind)} does not tell {a[:3]} and {b[:3]} apart")
    why = "; ".join(whys)
    if kind == "geographic":
        return Distance(kind, float(_circle(_place(one.code), _place(other.code))), None, None, 1.0, 1, why)
    if kind == "genetic":
        value, n, total = _kinship(_path(one.code), _path(other.code))
        return Distance(kind, value, None, None, n / total, n, why)
    view = _view(kind)
    u, v = view.values[view.rows[one.code]], view.values[view.rows[other.code]]
    both = ~np.isnan(u) & ~np.isnan(v)
    n = int(both.sum())
    coverage = n / len(both)
    if n < FEWEST:
        known_of = f"only {n} {_features(kind)} of {_source(kind)} are known of both {one.code} and {other.code}"
        whys.append(f"{known_of}; {FEWEST} are needed")
        return Distance(kind, None, None, None, coverage, n, "; ".join(whys))
    parts = _parts(u[both], v[both], view)
    value = float(_value(parts.sum(axis=0), view))
    low, high = np.quantile(_value(_drawn(n) @ parts, view), (0.025, 0.975))
    return Distance(kind, value, min(float(low), value), max(float(high), value), coverage, n, why)


@lru_cache(maxsize=16)
def _drawn(n: int) -> np.ndarray[Any, Any]:
    """How often each of `n` features comes in each resample `(R, n)`; the same for every pair."""
    return np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(float)


def matrix(tags_a: Sequence[str], tags_b: Sequence[str], kind: str) -> np.ndarray[Any, Any]:
    """Measure all distances of a kind between two lists of tags `(A, B)`; NaN where `distance` gives None."""
    return _both(tags_a, tags_b, kind)[0]


def counts(tags_a: Sequence[str], tags_b: Sequence[str], kind: str) -> np.ndarray[Any, Any]:
    """Count the features (groups, places) known of both `(A, B)`, as `distance` has them in `n`."""
    return _both(tags_a, tags_b, kind)[1]


def stand_in(tag: str, kind: str) -> tuple[str | None, str]:
    """Return the code that the source of a kind knows a tag's language by, None if by none, and why it is another."""
    found = _find(_code(tag), _checked(kind))
    return found.code, found.why


def extent(tag: str, kind: str) -> tuple[int, int]:
    """Return how many features the source of a kind has of a language, stand-ins included, and how many there are.

    Groups count for `genetic`, the place for `geographic`.

    >>> n, n_all = extent("eng_Latn", "qwals")
    >>> n > 150, n_all
    (True, 190)
    """
    found = _find(_code(tag), _checked(kind))
    if kind == "geographic":
        return int(found.code is not None), 1
    if kind == "genetic":
        n = len(_path(found.code)) if found.code else 0
        return n, n
    if kind not in PACKAGED and not available():
        return 0, 0
    return _size(found.code or "", kind), _view(kind).values.shape[1]


def lineage(tag: str) -> tuple[str, ...]:
    """Return the groups of Glottolog that a language belongs to, from the family down; () where none is known."""
    found = _find(_code(tag), "genetic")
    return _path(found.code)[:-1] if found.code else ()


def shared_lineage(a: str, b: str) -> tuple[str, ...]:
    """Return the groups that two languages have in common.

    >>> shared_lineage("deu_Latn", "nld_Latn")[-1]
    'West Germanic'
    """
    return tuple(one for one, other in zip(lineage(a), lineage(b), strict=False) if one == other)


# -- all at once ------------------------------------------------------------------------------------------------


def _both(tags_a: Sequence[str], tags_b: Sequence[str], kind: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Distances and counts `(A, B)`."""
    _checked(kind)
    rows = [_find(_code(tag), kind).code for tag in tags_a]
    columns = [_find(_code(tag), kind).code for tag in tags_b]
    out = np.full((len(rows), len(columns)), np.nan)
    n_both = np.zeros(out.shape, np.int64)
    at_a = [i for i, code in enumerate(rows) if code is not None]
    at_b = [i for i, code in enumerate(columns) if code is not None]
    if not at_a or not at_b:
        return out, n_both
    have_a, have_b = [str(rows[i]) for i in at_a], [str(columns[i]) for i in at_b]
    cut = np.ix_(at_a, at_b)
    if kind == "geographic":
        out[cut] = _circle(np.array([*map(_place, have_a)])[:, None], np.array([*map(_place, have_b)])[None])
        n_both[cut] = 1
    elif kind == "genetic":
        out[cut], n_both[cut] = _kinships(have_a, have_b)
    else:
        view = _view(kind)
        u = view.values[[view.rows[code] for code in have_a]]
        v = view.values[[view.rows[code] for code in have_b]]
        out[cut], n_both[cut] = _apart(u, v, view)
    return out, n_both


def _apart(u: Any, v: Any, view: _View) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Distances and counts `(A, B)` of values `(A, F)` and `(B, F)`."""
    has_u, has_v = (~np.isnan(u)).astype(float), (~np.isnan(v)).astype(float)
    n = has_u @ has_v.T
    if view.angular:
        u, v = np.nan_to_num(u), np.nan_to_num(v)
        totals = np.stack([u @ v.T, u**2 @ has_v.T, has_u @ (v**2).T, n], axis=-1)
    else:
        gaps = np.zeros(n.shape)
        for i, row in enumerate(u):
            gap = np.abs(row - v)
            gaps[i] = np.nansum(gap if view.ordered else gap > 0, axis=1)
        totals = np.stack([gaps, n], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = _value(totals, view)
    return np.where(n >= FEWEST, values, np.nan), n.astype(np.int64)


def _parts(u: Any, v: Any, view: _View) -> Any:
    """What each feature adds to the sums that make a distance `(F, 2)` or, for angles, `(F, 4)`."""
    if view.angular:
        return np.stack([u * v, u * u, v * v, np.ones(len(u))], axis=1)
    gap = np.abs(u - v)
    return np.stack([gap if view.ordered else (gap > 0).astype(float), np.ones(len(u))], axis=1)


def _value(totals: Any, view: _View) -> Any:
    """Distances of summed parts; two languages that have none of the features are alike, none and some are not."""
    if not view.angular:
        return totals[..., 0] / totals[..., 1]
    dot, uu, vv = totals[..., 0], totals[..., 1], totals[..., 2]
    norm = np.sqrt(uu * vv)
    cosine = np.where(norm > 0, dot / np.where(norm > 0, norm, 1.0), np.where((uu == 0) & (vv == 0), 1.0, 0.0))
    # arccos is steep at 1: what differs by rounding only is the same
    return np.where(cosine > 1 - 1e-9, 0.0, 2 / math.pi * np.arccos(np.clip(cosine, 0.0, 1.0)))


def _circle(a: Any, b: Any) -> Any:
    """Great circles between places `(..., 2)` in degrees, as shares of half the way around (haversine)."""
    (lat_a, lon_a), (lat_b, lon_b) = np.moveaxis(np.radians(a), -1, 0), np.moveaxis(np.radians(b), -1, 0)
    h = np.sin((lat_a - lat_b) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_a - lon_b) / 2) ** 2
    return 2 / math.pi * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0)))


def _kinship(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[float, int, int]:
    """The distance between two paths, how many groups both have, and how many there are in either."""
    shared = 0
    while shared < min(len(a), len(b)) and a[shared] == b[shared]:
        shared += 1
    if a == b:
        return 0.0, shared, shared
    value = 2 / math.pi * math.acos(shared / math.sqrt(len(a) * len(b)))
    return value, shared, max(len(a), len(b))


def _kinships(a: list[str], b: list[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    paths_a, paths_b = [*map(_path, a)], [*map(_path, b)]
    found = np.array([[_kinship(one, other)[:2] for other in paths_b] for one in paths_a])
    return found[..., 0], found[..., 1]


# -- which code a source knows a language by ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    code: str | None
    why: str = ""


def _checked(kind: str) -> str:
    if kind not in KINDS:
        raise InputError(f"'{kind}' is no kind of distance between languages{nearest(kind, KINDS)}")
    return kind


def _code(tag: str) -> str:
    """The language of a tag; raises DataError for what is no tag."""
    if tag not in lang.table():
        lang.facts(tag)
    return tag[:3]


def _source(kind: str) -> str:
    return _SOURCES.get(kind, "URIEL+")


def _features(kind: str) -> str:
    return f"{kind} features" if kind in ("syntactic", "phonological", "inventory") else "features"


@lru_cache(maxsize=65536)
def _find(code: str, kind: str) -> _Found:
    """Find a language in the source of a kind: by its own code, another of the same, its macrolanguage, or a member.

    A member that is thinly described is read as its macrolanguage. A macrolanguage is read as the member that a bare
    code means in our table, or as the only one that is there; a member whose macrolanguage is not there either, in
    the same way. Between several members we do not choose.
    """
    if kind not in PACKAGED and not available():
        return _Found(None, f"needs the data of urielplus: {INSTALL}")
    has, kin, source = _has(kind, code), _kin(), _source(kind)
    wide = kin.wide.get(code, "")
    if code in has:
        n, n_wide = _size(code, kind), _size(wide, kind)
        if n_wide <= THIN * n:
            return _Found(code)
        return _Found(
            wide, f"{source} has {n} {_features(kind)} of {code}; its macrolanguage {wide}, with {n_wide}, stands in"
        )
    if kind == "genetic":
        lacks = f"Glottolog does not classify {code}"
    elif kind == "geographic":
        lacks = f"the table of languages has no coordinates of {code}"
    else:
        lacks = f"{source} has fewer than {FEWEST} {_features(kind)} of {code}"
    for same in kin.same.get(code, ()):
        if same in has:
            return _Found(same, f"{source} knows {code} as {same}")
    if wide in has:
        return _Found(wide, f"{lacks}; its macrolanguage {wide} stands in")
    if member := _member(code, has):
        return _Found(member, f"{lacks}; its member {member} stands in")
    if member := _member(wide, has):
        return _Found(member, f"{lacks}; {member}, of the same macrolanguage {wide}, stands in")
    return _Found(None, lacks)


def _member(wide: str, has: Mapping[str, Any]) -> str | None:
    """The member that stands for a macrolanguage, if the source has it."""
    kin = _kin()
    members = [code for code in kin.members.get(wide, ()) if code in has]
    usual = kin.usual.get(wide)
    return usual if usual in members else members[0] if len(members) == 1 else None


@dataclass(frozen=True, slots=True)
class _Kin:
    """Codes of the same language, and macrolanguages with their members."""

    same: Mapping[str, tuple[str, ...]]
    wide: Mapping[str, str]
    members: Mapping[str, tuple[str, ...]]
    usual: Mapping[str, str]


@cache
def _kin() -> _Kin:
    from langcodes.data_dicts import LANGUAGE_ALPHA3, MACROLANGUAGES, NORMALIZED_MACROLANGUAGES

    wide = {LANGUAGE_ALPHA3.get(one, one): LANGUAGE_ALPHA3.get(all_, all_) for one, all_ in MACROLANGUAGES.items()}
    wide |= {tag[:3]: row.macrolanguage for tag, row in lang.table().items() if row.macrolanguage != lang.UNKNOWN}
    members: dict[str, list[str]] = {}
    for one, all_ in sorted(wide.items()):
        members.setdefault(all_, []).append(one)
    same: dict[str, list[str]] = {}
    usual: dict[str, str] = {}
    for code, tag in lang.codes().items():
        own = tag[:3]
        if len(code) != 3 or code == own:
            continue
        if code in members or wide.get(own) == code:
            usual[code] = own
        else:
            same.setdefault(code, []).append(own)
            same.setdefault(own, []).append(code)
    for one, all_ in NORMALIZED_MACROLANGUAGES.items():  # zho is read as cmn, est as ekk
        usual.setdefault(LANGUAGE_ALPHA3.get(all_, all_), LANGUAGE_ALPHA3.get(one, one))
    return _Kin({k: tuple(v) for k, v in same.items()}, wide, {k: tuple(v) for k, v in members.items()}, usual)


# -- the sources -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Values `(L, F)` of a kind, NaN where unknown, and the row of each code."""

    rows: Mapping[str, int]
    values: np.ndarray[Any, Any]
    angular: bool = False
    ordered: bool = True


def _size(code: str, kind: str) -> int:
    """How many features the source of a kind has of a code; 0 where there are no features to count."""
    if kind in ("genetic", "geographic"):
        return 0
    view = _view(kind)
    return int((~np.isnan(view.values[view.rows[code]])).sum()) if code in view.rows else 0


def _has(kind: str, code: str) -> Mapping[str, Any]:
    """The codes that the source of a kind has, to look up `code`; for our table the same with and without urielplus."""
    if kind not in ("genetic", "geographic"):
        return _view(kind).rows
    if code not in lang.codes():
        return _outside(kind)
    return _places() if kind == "geographic" else _lineages()


def _asset(name: str) -> list[list[str]]:
    """Rows of a table that the package carries, less notice and head."""
    path = Path(__file__).parents[1] / "assets" / "typology" / name
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"]
    return [line.split("\t") for line in lines[1:]]


@cache
def _places() -> Mapping[str, tuple[float, float]]:
    """Latitude and longitude by code."""
    return {
        tag[:3]: (row.latitude, row.longitude)
        for tag, row in lang.table().items()
        if row.latitude is not None and row.longitude is not None
    }


@cache
def _lineages() -> Mapping[str, tuple[str, ...]]:
    """Groups by code, the language itself last."""
    return {code: (*_groups(groups), code) for code, _, groups in _asset("lineages.tsv")}


def _place(code: str) -> tuple[float, float]:
    return _places()[code] if code in _places() else _outside("geographic")[code]


def _path(code: str) -> tuple[str, ...]:
    return _lineages()[code] if code in _lineages() else _outside("genetic")[code]


@cache
def _outside(kind: str) -> Mapping[str, Any]:
    """Places or lineages by code with those of urielplus, for languages outside our table."""
    if kind == "geographic":
        return {code: place for code, (place, _) in _glottolog().items() if place is not None} | dict(_places())
    return {code: path for code, (_, path) in _glottolog().items() if path is not None} | dict(_lineages())


def _groups(text: str) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()


@cache
def _view(kind: str) -> _View:
    if kind in PACKAGED:
        rows, values, sizes = _wals()
        return _View(rows, values / (sizes - 1) if kind == "qwals" else values, ordered=kind == "qwals")
    codes, names, values = _uriel()
    chosen = np.array([name.startswith(_PREFIXES[kind]) for name in names])
    values = values[:, chosen]
    kept = np.flatnonzero((~np.isnan(values)).sum(axis=1) >= FEWEST)
    return _View({codes[i]: row for row, i in enumerate(kept)}, values[kept].astype(np.float64), angular=True)


@cache
def _wals() -> tuple[Mapping[str, int], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The row of each code, places of values `(L, F)` from 0, and the number of values a feature has `(F,)`."""
    sizes = np.array([int(n) for _, n, _ in _asset("wals_features.tsv")], float)
    table = _asset("wals.tsv")
    values = np.full((len(table), len(sizes)), np.nan)
    for row, (_, text) in zip(values, table, strict=True):
        row[: len(text)] = [np.nan if place == "." else int(place, 36) for place in text]
    return {code: i for i, (code, _) in enumerate(table)}, values, sizes


# -- urielplus, read and never imported: importing it copies files into where packages lie --------------------------


@cache
def _folder() -> Path | None:
    """Where the data of urielplus lies; None without it."""
    spec = find_spec("urielplus")
    places = [Path(place) / "database" for place in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if (place / "original_uriel" / "features.npz").is_file()), None)


def _damaged(error: Exception) -> DamagedError:
    return DamagedError(f"the data of urielplus in {_folder()} cannot be read ({error}); install it again: {INSTALL}")


@cache
def _glottolog() -> Mapping[str, tuple[tuple[float, float] | None, tuple[str, ...] | None]]:
    """Place and lineage by code, in URIEL+'s edition of Glottolog; empty without urielplus."""
    folder = _folder()
    if folder is None:
        return {}
    import polars as pl

    try:
        of = pl.read_csv(folder / "urielplus_csvs" / "uriel_glottocode_map.csv", infer_schema=False)
        tree = pl.read_csv(folder / "urielplus_csvs" / "lang_fam_geo.csv", infer_schema=False)
        rows = of.join(tree, left_on="glottocode", right_on="language_id").select(
            "iso_code", pl.col("latitude", "longitude").cast(pl.Float64), "lineage"
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _damaged(error) from None
    found: dict[str, tuple[tuple[float, float] | None, tuple[str, ...] | None]] = {}
    for code, latitude, longitude, groups in rows.iter_rows():
        place = None if latitude is None or longitude is None else (latitude, (longitude + 180) % 360 - 180)
        path = tuple(group.strip() for group in (groups or "").split(",") if group.strip())
        pseudo = bool(path) and path[0] in NO_FAMILIES
        inner = path[1:] if pseudo else path
        found[code] = (place, None if pseudo and not inner else (*inner, code))
    return found


# Glottolog's shelves for what has no genealogy; they are no families.
NO_FAMILIES = [
    "Artificial Language",
    "Bookkeeping",
    "Mixed Language",
    "Pidgin",
    "Sign Language",
    "Speech Register",
    "Unattested",
    "Unclassifiable",
]


@cache
def _uriel() -> tuple[list[str], list[str], np.ndarray[Any, Any]]:
    """Codes, feature names and values `(L, F)` 0..1: URIEL with Grambank, APiCS and SAPHON, sources averaged."""
    folder = _folder()
    assert folder is not None  # callers ask available() first
    import polars as pl

    tables = folder / "urielplus_csvs"
    try:
        path = folder / "original_uriel" / "features.npz"
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            data, names, codes = stored["data"], stored["feats"].tolist(), stored["langs"].tolist()
        of = dict(pl.read_csv(tables / "uriel_glottocode_map.csv", infer_schema=False).drop_nulls().rows())
        more = [pl.read_csv(tables / f"{name}_data.csv", infer_schema=False) for name in _DATABASES]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, pl.exceptions.PolarsError) as error:
        raise _damaged(error) from None
    iso = {glottocode: code for code, glottocode in of.items()}
    names += sorted({name for frame in more for name in frame.columns[1:] if name != "glottocode"} - set(names))
    row_of, column_of = ({name: i for i, name in enumerate(each)} for each in (codes, names))
    total, n = np.zeros((len(codes), len(names)), np.float32), np.zeros((len(codes), len(names)), np.float32)
    some = np.flatnonzero(data.reshape(len(data), -1).max(axis=1) >= 0)
    data, width = data[some], data.shape[1]
    ones = np.ones(data.shape[2], np.float32)  # products are much faster than sums over a short last axis
    n[some, :width] = (data >= 0).astype(np.float32) @ ones
    total[some, :width] = data @ ones + (len(ones) - n[some, :width])  # what is unknown is -1
    for frame in more:
        key = frame.columns[0]  # a glottocode, or in saphon the code itself
        at = [row_of.get(iso.get(code, code), -1) for code in frame[key]]
        features = [name for name in frame.columns[1:] if name != "glottocode"]
        values = frame.select(pl.col(features).cast(pl.Float32, strict=False)).fill_null(-1).to_numpy()
        for row, given in zip(at, values, strict=True):
            if row >= 0:
                columns = [column_of[name] for name in features]
                total[row, columns] += np.where(given >= 0, given, 0)
                n[row, columns] += given >= 0
    with np.errstate(invalid="ignore"):
        return codes, names, np.where(n > 0, total / n, np.nan)
