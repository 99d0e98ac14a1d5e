"""Languages so close that a sentence does not tell them apart."""

from __future__ import annotations

from functools import cache

# ISO 639-3 codes of close relatives that no identifier tells apart reliably on a sentence. Members of one
# macrolanguage (Arabic varieties, Malay and Indonesian, Serbo-Croatian, Chinese ...) need no entry.
CLOSE = (
    "bos hrv srp cnr hbs slv",
    "ind zsm msa min bjn ace bug ban sun jav",
    "nob nno nor dan swe",
    "ces slk",
    "bul mkd",
    "bel ukr rus",
    "spa glg por ast arg ext cat",
    "cat oci",
    "ita vec lij nap scn lmo",
    "fra wln",
    "gcf gcr hat",
    "nld afr fry lim",
    "deu ltz",
    "hin mar npi san gom",
    "pes prs tgk",
    "aze azj tur crh tuk uzn uzs",
    "kaz kir tat bak",
    "xho zul ssw nbl",
    "sot nso tsn",
    "kin run lug",
    "gle gla",
    "lav ltg lvs",
    "eng pcm",
    "asm ben",
    "zho yue wuu cmn",
    "ell grc",
    "heb hbo",
    "urd hin",
)


@cache
def close(a: str, b: str) -> bool:
    """Tell whether two ISO 639-3 codes are one language, one macrolanguage or close relatives.

    >>> close("ind", "zsm"), close("arb", "ary"), close("eng", "deu")
    (True, True, False)
    """
    return a == b or _macro(a) == _macro(b) or not _lines(a).isdisjoint(_lines(b))


@cache
def _macro(code: str) -> str:
    from isogloss.core.errors import DataError
    from isogloss.core.lang import facts, resolve

    try:
        found = facts(resolve(code).tag).macrolanguage
    except DataError:
        return code
    return found if found and found != "unknown" else code


@cache
def _lines(code: str) -> frozenset[int]:
    """The lines of `CLOSE` that a code stands in."""
    return frozenset(i for i, line in enumerate(CLOSE) if code in line.split())
