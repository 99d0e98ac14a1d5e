"""The noun Lang: a tag such as `swh_Latn` and a row of facts about it.

A tag is an ISO 639-3 code of a language, an underscore and an ISO 15924 script, spelled as FLORES-200 spells
it. A language is a row of `assets/languages.tsv`, never an `if`; the head of that file names the sources.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isogloss.core.errors import DataError, nearest

UNKNOWN = "unknown"
GROUPS = ("script", "family", "genus", "resource", "lang")

_TAG = re.compile(r"([A-Za-z]{3})[-_]([A-Za-z]{4})")
_NO_LANGUAGE = re.compile(r"und|mul|mis|zxx|q[a-t][a-z]")  # ISO 639's special and private codes
_NO_SCRIPT = re.compile(r"Zinh|Zmth|Zsy[em]|Zxxx|Zyyy|Zzzz|Qa[a-z]{2}")  # ISO 15924's
_NO_REGION = ("XX", "ZZ")  # mBART writes en_XX


@dataclass(frozen=True, slots=True)
class Lang:
    """Facts about a language in a script; "unknown" and None where nobody told us.

    `latitude`, `longitude` in degrees; `speakers` of the language in any script; `resource` is the class "0".."5"
    of Joshi et al. 2020; `spaces` says whether words are separated by spaces; `digits` is CLDR's native system.

    >>> lang = facts("swh_Latn")
    >>> lang.name, lang.script, lang.family, lang.direction, lang.spaces
    ('Swahili', 'Latn', 'Atlantic-Congo', 'ltr', True)
    """

    tag: str
    name: str = UNKNOWN
    endonym: str = UNKNOWN
    direction: str = UNKNOWN
    family: str = UNKNOWN
    genus: str = UNKNOWN
    latitude: float | None = None
    longitude: float | None = None
    speakers: int | None = None
    resource: str = UNKNOWN
    macrolanguage: str = UNKNOWN
    spaces: bool | None = None
    digits: str = UNKNOWN
    glottocode: str = UNKNOWN
    bcp47: str = UNKNOWN

    @property
    def script(self) -> str:
        return self.tag[4:]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a code was read as: the tag, the region or variant it named, and what was assumed on the way."""

    tag: str
    variety: str | None = None
    note: str | None = None


@cache
def _read() -> tuple[Mapping[str, Lang], Mapping[str, str]]:
    """Return the rows by tag, and the tag by everything that is read as it: tag, bare code, other codes."""
    text = (Path(__file__).parents[1] / "assets" / "languages.tsv").read_text(encoding="utf-8")
    head, *lines = (line.split("\t") for line in text.split("\n") if line and line[0] != "#")
    types: dict[str, Any] = {"latitude": float, "longitude": float, "speakers": int, "spaces": "1".__eq__}
    rows: dict[str, Lang] = {}
    index: dict[str, str] = {}
    for cells in lines:
        row: dict[str, Any] = {k: types.get(k, str)(v) for k, v in zip(head, cells, strict=True) if v}
        codes = row.pop("codes", "").split()
        lang = rows[row["tag"]] = Lang(**row)
        index[lang.tag] = lang.tag
        index.setdefault(lang.tag[:3], lang.tag)  # the first row of a language is its usual script
        index.update(dict.fromkeys(codes, lang.tag))
    return MappingProxyType(rows), MappingProxyType(index)


def table() -> Mapping[str, Lang]:
    """Return the languages we carry, by tag."""
    return _read()[0]


def codes() -> Mapping[str, str]:
    """Return the tag that a code is read as: tags, bare codes, and the other codes of a row."""
    return _read()[1]


@lru_cache(maxsize=4096)
def facts(tag: str) -> Lang:
    """Return the row of a tag; outside the table, what its language and its script tell, and "unknown" elsewhere.

    Raises DataError when `tag` has not the form of a tag.

    >>> facts("eng_Shaw").family, facts("tlh_Latn").name, facts("tlh_Latn").family
    ('Indo-European', 'Klingon (Latin)', 'unknown')
    """
    rows, index = _read()
    if row := rows.get(tag):
        return row
    if not isinstance(tag, str) or not re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", tag):
        raise DataError(f"{tag!r} is no language tag; a tag looks like swh_Latn")
    from langcodes import Language

    code, script = tag.split("_")
    named = Language.get(f"{code}-{script}")
    known = named.is_valid()
    like = rows[index[code]] if index.get(code, "").startswith(code) else Lang(tag, name=named.language_name())
    same = [row for row in rows.values() if row.script == script]
    return replace(
        like,
        tag=tag,
        name=f"{like.name.split(' (')[0]} ({named.script_name()})" if known else UNKNOWN,
        endonym=UNKNOWN,
        direction=_common((row.direction for row in same), UNKNOWN),
        spaces=_common((row.spaces for row in same), None),
        digits=_common((row.digits for row in same), UNKNOWN),
        bcp47=named.to_tag() if known else UNKNOWN,
    )


def _common(values: Iterable[Any], otherwise: Any) -> Any:
    """Return the value that all have, else `otherwise`."""
    return found.pop() if len(found := set(values)) == 1 else otherwise


def group_of(tag: str, by: str) -> str:
    """Return the slice of a report that a tag falls in; `by` is one of `GROUPS`.

    >>> group_of("swh_Latn", "genus"), group_of("swh_Latn", "resource"), group_of("swh_Latn", "lang")
    ('Bantu', '2', 'swh_Latn')
    """
    if by not in GROUPS:
        raise DataError(f"languages are not grouped by '{by}'{nearest(by, GROUPS)}")
    return tag if by == "lang" else str(getattr(facts(tag), by))


@lru_cache(maxsize=4096)
def resolve(code: str) -> Resolved:
    """Read any way of writing a language as its tag.

    Takes tags, ISO 639 codes of all parts (also retired ones), BCP 47 in any case and with `_` or `-`, English
    names and endonyms. A macrolanguage, or a code that leaves the script open, is read as its usual form, and the
    note says so. Raises DataError for what is no language, no single language, or one whose script we cannot tell.

    >>> resolve("pt_BR")
    Resolved(tag='por_Latn', variety='BR', note=None)
    >>> resolve("sr").note
    "'sr' is written in more than one script; it is read as srp_Cyrl (Serbian (Cyrillic))"
    """
    asked = code.strip() if isinstance(code, str) else ""
    if not asked:
        raise DataError(f"{code!r} names no language; give a tag such as swh_Latn, a code or an English name")
    match = _TAG.fullmatch(asked)
    tag = f"{match[1].lower()}_{match[2].title()}" if match else ""
    if tag in table():
        return Resolved(tag)
    found = _from_code(asked, asked) or _from_name(asked)
    if found is None:
        known = [word for row in table().values() for word in (row.tag, row.tag[:3], row.name, row.endonym)]
        near = nearest(asked, known) if len(asked) > 3 else ""  # every three letters are near some language
        hint = near if near.startswith("; did") else "; give a tag such as swh_Latn, a code or an English name"
        raise DataError(f"'{asked}' is no language we know{hint}")
    return found


def _from_code(code: str, asked: str) -> Resolved | None:
    """Read a BCP 47 tag in the loosest spelling; None when it is none."""
    from langcodes import Language
    from langcodes.data_dicts import LANGUAGE_ALPHA3, LIKELY_SUBTAGS, TERRITORY_REPLACEMENTS

    try:
        given = Language.get(code.replace("_", "-"), normalize=False)
        valid = Language.get(code.replace("_", "-"))
    except ValueError:
        return None
    index = _read()[1]
    language = given.extlangs[0] if given.extlangs else given.language or "und"
    language = LANGUAGE_ALPHA3.get(language, language)
    if language not in index:  # retired, bibliographic, or not in our table
        given = valid
        language = LANGUAGE_ALPHA3.get(given.language or "", given.language or "und")
    if not valid.is_valid() or len(language) != 3 or _NO_LANGUAGE.fullmatch(language):
        return None
    script, region = given.script, given.territory
    region = None if region in _NO_REGION else TERRITORY_REPLACEMENTS.get((region or "").lower(), region)
    if script and _NO_SCRIPT.fullmatch(script):
        raise DataError(f"'{asked}' names the script {script}, in which nothing is written; give another")

    keys = [language]
    if script:
        keys.insert(0, f"{language}_{script}")
    elif region:
        likely = Language.make(language=given.language, territory=region).maximize().script
        keys[:0] = [f"{language}_{region}", f"{language}_{likely}"]
    key = next((key for key in keys if key in index), None)
    if key is None:
        script = script or LIKELY_SUBTAGS.get(given.language or "", "-").split("-")[1]
        if not script:
            raise DataError(f"'{asked}' does not say its script, and we do not know it; write {language}_Latn or such")
        tag = f"{language}_{script}"
    elif script and key == language:
        tag = f"{index[key][:3]}_{script}"
    else:
        tag = index[key]
    tag = index.get(tag, tag)

    row, notes = facts(tag), []
    if key and (key[:3] == row.macrolanguage or (key[3:] and key[:3] != tag[:3])):
        notes.append("covers more than one language")
    if key != tag and script != tag[4:] and index.get(tag[:3]) == tag and "-" in row.bcp47:
        notes.append("is written in more than one script")
    note = f"'{asked}' {' and '.join(notes)}; it is read as {tag} ({row.name})" if notes else None
    return Resolved(tag, "-".join(filter(None, [region, *(given.variants or [])])) or None, note)


@cache
def _names() -> Mapping[str, str]:
    """Return the tag by English name and by endonym, the bare code by a name less its script; all casefolded."""
    rows = table().values()
    bare = {row.name.split(" (")[0].casefold(): row.tag[:3] for row in rows if " (" in row.name}
    endonyms = Counter(row.endonym.casefold() for row in rows)
    own = {name: row.tag for row in rows if endonyms[name := row.endonym.casefold()] == 1 and name != UNKNOWN}
    return bare | own | {row.name.casefold(): row.tag for row in rows}


def _from_name(asked: str) -> Resolved | None:
    """Read a name in English or in the language itself, or the name in another language of one in our table."""
    if known := _names().get((asked := asked.replace("_", " ")).casefold()):
        return _from_code(known, asked)
    if not asked.isprintable() or (asked.isascii() and len(asked) < 4):
        return None
    from langcodes import Language
    from language_data import names

    try:
        found = Language.find(asked)
    except (LookupError, UnicodeDecodeError):  # no such name, or the trie trips over it
        return None
    if names.normalize_name(asked) not in names.TRIES["und/name_to_language"]:
        return None  # only a prefix is a name: 'latin script' is not Latin
    read = _from_code(found.to_tag(), asked)
    english = found.display_name().casefold() == asked.casefold()
    return read if read and (read.tag in table() or english) else None


def plainly(code: str, tag: str) -> bool:
    """Whether a code says by itself what it was read as; retired ones and codes of another standard do not."""
    row = facts(tag)
    plain = {tag, tag[:3], row.bcp47, row.bcp47.split("-")[0], row.name, row.endonym, row.name.split(" (")[0]}
    return code.replace("-", "_").casefold() in {word.replace("-", "_").casefold() for word in plain}
