"""Check the declared language and script of every row, and name the language of rows that declare none.

Web addresses, e-mail addresses and @names are set aside first; a text without letters is not checked.

**Script.** A row goes when fewer than half of its letters (`min_script`) are in the script of its tag. A letter that
stands for a syllable or a word counts two, here and in `min_letters`: a name in Latin letters is long. Japanese is
Han with kana, Korean is Hangul with Han; Hans and Hant are told apart by the characters that only GB 2312 or only
Big5 can write.

**Language.** The identifier (`core/identify`) is the packaged n-gram one with py3langid beside it, or yours. It names a
language, with a confidence that is right as often as it says, and says whether the text fits any language that it
knows. A row goes when the identifier knows the declared language, the text fits another one, with `min_confidence`,
that is no close relative (`CLOSE`, or one macrolanguage), and it has `min_letters` letters or more. "Unknown" never
drops a row that declares its language.

**Lines.** Of a text of several lines each line is read too, and a row goes when lines that are surely in other languages
have more than `max_other` of its letters.

**Filling.** A row without `lang` gets one of the declared languages `langs` (without `langs`: any language that is
known or declared in the corpus), else it is dropped as "unknown language" with what was seen.

**Languages that the identifier lacks** are learned from the corpus, where `FEWEST` rows or more declare them and are
not surely in another language; `isogloss train-langid` does the same ahead, on other text.

`columns` adds what was seen to every row: `lang_seen` (a tag or "unknown"), `lang_confidence`, `lang_fit`,
`lang_other` (the share of its letters in words of other languages than its own) and `lang_others` (which).
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from isogloss.core import keys as _keys
from isogloss.core import near as _near
from isogloss.core.identify.letters import by_letter, han_form, own_text
from isogloss.core.identify.relatives import close
from isogloss.core.scripts import unicode_scripts

if TYPE_CHECKING:
    import polars as pl

    from isogloss.core.identify import Identifier, Ngrams

VERSION = 3
Share = Annotated[float, Field(ge=0, le=1)]
Which = Literal["both", "ngrams", "py3langid"]
# Rows without a language may be read: this step names it.
FILLS_LANG = True

_OTHER_HAN = {"Hans": "Hant", "Hant": "Hans"}

# Rows of a language that is learned: at least, and at most; characters of each.
FEWEST, MOST, LONG = 40, 2000, 600
# A text with fewer letters does not say its language.
SAYS = 4
# A text fits a language when it is likelier to be in it than in one that is not known.
FITS = 0.5
# Lines of a text that are read, and characters of one.
LINES, LINE = 200, 600
SEEN = {"lang_seen": "s", "lang_confidence": "f", "lang_fit": "f", "lang_other": "f", "lang_others": "s"}


@cache
def _letter() -> Any:
    import regex

    return regex.compile(r"\p{L}")


@cache
def _letters_of(script: str) -> Any:
    """Compile a pattern for one letter of an ISO 15924 script; None when Unicode has no such script."""
    import regex

    if script in ("Zinh", "Zyyy", "Zzzz"):
        return None
    try:
        names = "".join(rf"\p{{Script={name}}}" for name in unicode_scripts(script))
        return regex.compile(rf"(?=\p{{L}})[{names}]")
    except regex.error:
        return None


def n_letters(text: str) -> int:
    """Count the letters of a text; one that stands for a syllable or a word (Han, kana, Ethiopic ...) counts two.

    >>> n_letters("ab 12"), n_letters("中文")
    (2, 4)
    """
    return _near.n_units("".join(_letter().findall(text)))


def script_share(text: str, script: str) -> float | None:
    """Give the share of the letters of `text` that are in an ISO 15924 script; None where it cannot be told.

    >>> script_share("selam ሰላም", "Ethi"), script_share("12:30", "Ethi")
    (0.5454545454545454, None)
    """
    pattern, n_all = _letters_of(script), n_letters(text)
    if pattern is None or not n_all:
        return None
    share = _near.n_units("".join(pattern.findall(text))) / n_all
    if script in _OTHER_HAN:
        simple, traditional = han_form(text)
        own = simple if script == "Hans" else traditional
        if simple + traditional >= 3:
            share = min(share, own / (simple + traditional))
    return share


def letters_of(texts: Sequence[str], tags: Sequence[str | None]) -> tuple[list[int], list[float | None]]:
    """The letters of each text, as `n_letters` counts them, and the share that is in the script of its tag, as `script_share`."""
    import numpy as np

    own = sorted({tag[4:] for tag in tags if tag})
    names = sorted({name for script in own for name in unicode_scripts(script)})
    numbers = {name: i for i, name in enumerate(names)}
    written = np.zeros((len(own) + 1, len(names) + 1), bool)  # the last column, of other scripts, is no one's
    for i, each in enumerate(own):
        written[i, [numbers[name] for name in unicode_scripts(each)]] = True
    of = np.array([own.index(tag[4:]) if tag else len(own) for tag in tags], dtype=np.int64)
    total, mine = np.zeros(len(texts)), np.zeros(len(texts))
    for some in _keys.batches(texts):
        row, script, code = by_letter(texts[some], numbers)
        letter = script > -2
        row, script, worth = row[letter], script[letter], _keys.units(code[letter])
        hit = written[of[some][row], script]
        n = some.stop - some.start
        total[some] = np.bincount(row, weights=worth, minlength=n)
        mine[some] = np.bincount(row[hit], weights=worth[hit], minlength=n)
    found: list[float | None] = []
    for text, tag, n_all, n_own in zip(texts, tags, total.tolist(), mine.tolist(), strict=True):
        told = bool(tag and n_all and _letters_of(tag[4:]) is not None)
        # Han is told apart by more than the script, and a script that no language of ours has is not counted above.
        alone = tag is not None and (tag[4:] in _OTHER_HAN or not n_own)
        found.append(script_share(text, tag[4:]) if told and alone and tag else n_own / n_all if told else None)
    return [int(n) for n in total], found


def main_script(text: str, scripts: Sequence[str]) -> str | None:
    """Give the first of the scripts with the greatest share of the letters, or None."""
    shares = [(script_share(text, script) or 0.0, -i) for i, script in enumerate(scripts)]
    best = max(shares, default=(0.0, 0))
    return scripts[-best[1]] if best[0] >= 0.5 else None


def known(identifier: Which = "both", model: Path | None = None) -> frozenset[str]:
    """Give the tags that the identifier knows."""
    from isogloss.core import identify

    return identify.tags(identifier, model)


# -- the identifier, and what it lacks --------------------------------------------------------------------------


def _identifier(which: Which, model: Path | None, learned: tuple[tuple[str, str, str | None], ...]) -> Identifier:
    """The identifier, with the languages of `learned` (tag, text, group) where there are any."""
    from isogloss.core import identify

    own: Ngrams | None = None
    if which != "py3langid" and learned:
        base = identify.ngrams(model)
        own = _taught(base, learned)
    return identify.load(which, own or model)


@lru_cache(maxsize=2)
def _taught(base: Ngrams, rows: tuple[tuple[str, str, str | None], ...]) -> Ngrams:
    """The base with more languages. Once a process for each corpus."""
    from isogloss.core.identify import learning

    texts = {tag: own for tag, own in learning.gather(rows).items() if len(own.normals) >= learning.FEWEST}
    return learning.train(texts, base=base).model if texts else base


def summarise(
    batch: pl.DataFrame, *, identifier: Which = "both", model: Path | None = None, langs: tuple[str, ...] = ()
) -> pl.DataFrame:
    """Give texts of the declared languages that the identifier lacks: `lang, mark, text, group`.

    At most `MOST` of each language, those with the smallest mark (a hash of the text): the same however shards are cut.
    """
    import polars as pl

    schema = {"lang": pl.String, "mark": pl.String, "text": pl.String, "group": pl.String}
    empty = pl.DataFrame(schema=schema)
    there = set(known(identifier, model))
    if identifier == "py3langid" or (langs and there >= set(langs)):
        return empty
    wanted = pl.col("lang").is_not_null() & ~pl.col("lang").is_in(sorted(there)) & pl.col("text").is_not_null()
    if langs:
        wanted &= pl.col("lang").is_in(list(langs))
    rows = batch.filter(wanted)
    group = rows["group"] if "group" in rows.columns else pl.Series([None] * rows.height, dtype=pl.String)
    found: dict[str, list[tuple[str, str, str | None]]] = {}
    for tag, text, tie in zip(rows["lang"].to_list(), rows["text"].to_list(), group.to_list(), strict=True):
        text = own_text(text[:LONG])
        share = script_share(text, tag[4:])
        if n_letters(text) >= 10 and (share is None or share >= 0.5):
            found.setdefault(tag, []).append((_near.digest(text).hex(), text, tie))
    reader = _identifier(identifier, model, ()) if found else None
    out = []
    for tag in sorted(found):
        some = sorted(found[tag], key=lambda row: row[0])[:MOST]
        assert reader is not None
        reading = reader.read([text for _, text, _ in some])
        strange = [seen != "unknown" and not close(seen[:3], tag[:3]) for seen in reading.named(sure=0.9, fit=0.9)]
        out += [(tag, *row) for row, no in zip(some, strange, strict=True) if not no]
    return pl.DataFrame(out, schema=schema, orient="row") if out else empty


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """The texts that are learned from, of languages that have enough of them."""
    import polars as pl

    rows = summaries.unique(["lang", "mark"], keep="any").sort("lang", "mark", "group")
    rows = rows.filter(pl.int_range(pl.len()).over("lang") < MOST)
    return rows.filter(pl.len().over("lang") >= FEWEST)


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """The languages that were learned from the corpus itself, and from how many texts."""
    return decision.group_by("lang").len("n_texts").sort("lang")


def remarks(langs: tuple[str, ...], *, identifier: Which = "both", model: Path | None = None) -> list[str]:
    """Say which languages the identifier lacks."""
    lacking = sorted(set(langs) - known(identifier, model))
    if not lacking:
        return []
    shown = ", ".join(lacking[:12]) + (f" and {len(lacking) - 12} more" if len(lacking) > 12 else "")
    return [
        f"langid does not know {shown}: it learns them from {FEWEST} rows or more that declare them, else checks their "
        "script only; isogloss train-langid learns them from other text"
    ]


# -- one text ---------------------------------------------------------------------------------------------------


def _scripts_doubt(share: float | None, tag: str, min_script: float) -> str | None:
    if share is None or share >= min_script:
        return None
    return f"script: {share:.0%} {tag[4:]}, declared {tag}".replace("%", " %")


def _heir(code: str, other: str, declared: Container[str]) -> bool:
    return code == other or (code not in declared and close(code, other))


def _fill(
    text: str, declared: Sequence[str], ranked: Sequence[tuple[str, float]], fit: float, sure: float
) -> tuple[str | None, str]:
    """Choose the tag of a text among the declared ones: (tag or None, what was seen).

    A language that is not declared speaks for the likeliest declared one that is close to it.
    """
    seen = {tag[:3] for tag, _ in ranked}
    by_code: dict[str, list[str]] = {}
    for tag in declared:
        if tag[:3] in seen and (script_share(text, tag[4:]) or 0.0) >= 0.5:
            by_code.setdefault(tag[:3], []).append(tag)
    if not ranked or n_letters(text) < SAYS:
        return None, ""
    masses: dict[str, float] = {}
    for tag, share in ranked:
        heir = next(
            (other[:3] for other, _ in ranked if other[:3] in by_code and _heir(tag[:3], other[:3], by_code)), tag[:3]
        )
        masses[heir] = masses.get(heir, 0.0) + share
    code, share = max(masses.items(), key=lambda item: (item[1], item[0]))
    if fit < FITS:
        return None, f"nearest {code}, but it does not fit"
    if code not in by_code:
        return None, f"{code} {share:.2f} is not declared"
    if share < sure:
        return None, f"{code} {share:.2f}"
    choices = by_code[code]
    script = main_script(text, [tag[4:] for tag in choices])
    return (f"{code}_{script}", "") if script else (None, "")


def _ranked(tags: Sequence[str], probs: Any) -> list[tuple[str, float]]:
    """Tags with at least a thousandth, likeliest first."""
    places = [int(i) for i in (probs >= 0.001).nonzero()[0]]
    return sorted(((tags[i], float(probs[i])) for i in places), key=lambda item: (-item[1], item[0]))


def _other_lines(
    reader: Identifier, texts: Sequence[str], tags: Sequence[str | None], min_letters: int, sure: float
) -> list[tuple[float, str]]:
    """Of each text with a language: the share of its letters in lines of other languages, and the first of these."""
    lines: list[str] = []
    owner: list[int] = []
    total = [0] * len(texts)
    for i, (text, tag) in enumerate(zip(texts, tags, strict=True)):
        own = [line for line in text.splitlines() if line.strip()][:LINES] if tag else []
        total[i] = sum(n_letters(line) for line in own) if len(own) > 1 else 0
        for line in own if len(own) > 1 else []:
            if n_letters(line) >= min_letters:
                lines.append(line[:LINE])
                owner.append(i)
    other = [0] * len(texts)
    which: list[dict[str, int]] = [{} for _ in texts]
    seen = reader.read(lines).named(sure=max(sure, 0.9)) if lines else []
    for line, i, tag in zip(lines, owner, seen, strict=True):
        declared = tags[i]
        if tag != "unknown" and declared and not close(tag[:3], declared[:3]):
            other[i] += n_letters(line)
            which[i][tag] = which[i].get(tag, 0) + n_letters(line)
    return [
        (other[i] / total[i] if total[i] else 0.0, max(sorted(which[i]), key=which[i].__getitem__, default=""))
        for i in range(len(texts))
    ]


def apply(
    batch: pl.DataFrame,
    decision: pl.DataFrame,
    *,
    identifier: Which = "both",
    model: Path | None = None,
    min_confidence: Share = 0.5,
    min_script: Share = 0.5,
    min_letters: Annotated[int, Field(ge=1)] = 15,
    max_other: Share = 0.5,
    columns: bool = False,
    langs: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Write the reasons into `drop` and fill `lang` where it is null.

    Knobs
        identifier: both identifiers as one, the n-gram one alone, or py3langid alone
        model: the folder of an n-gram identifier that isogloss train-langid made, instead of the packaged one, path
        min_confidence: probability from which the identifier is believed, share 0..1
        min_script: share of the letters that must be in the declared script, share 0..1
        min_letters: shorter texts are checked for script only, letters
        max_other: share of the letters that lines in other languages may have, share 0..1; 1 reads no lines
        columns: add what was seen as columns (lang_seen, lang_confidence, lang_fit, lang_other, lang_others)

    `langs`, the declared languages, is filled in by the engine. Errors: DataError and DamagedError for `model`.
    """
    import polars as pl

    taught = tuple(decision.select("lang", "text", "group").iter_rows()) if decision.height else ()
    reader = _identifier(identifier, model, taught)
    knows = set(reader.tags)
    olds = batch["drop"].to_list() if "drop" in batch.columns else [None] * batch.height
    tags: list[str | None] = batch["lang"].to_list()
    texts = [own_text(text or "") for text in batch["text"].to_list()]
    letters, written = letters_of(texts, tags)
    reasons: list[str | None] = [
        _scripts_doubt(share, tag, min_script) if tag and old is None else None
        for share, tag, old in zip(written, tags, olds, strict=True)
    ]
    open_rows = [
        i
        for i, tag in enumerate(tags)
        if olds[i] is None
        and reasons[i] is None
        and (columns or tag is None or (tag in knows and letters[i] >= min_letters))
    ]
    reading = reader.read([texts[i] for i in open_rows])
    best = dict(zip(open_rows, reading.best(), strict=True))
    fits = dict(zip(open_rows, reading.fits.tolist(), strict=True))
    declared = langs or _all_tags(reader)
    for place, i in enumerate(open_rows):
        tag = tags[i]
        if tag is None:
            ranked = _ranked(reader.tags, reading.probs[place])
            tags[i], seen = _fill(texts[i], declared, ranked, fits[i], min_confidence)
            reasons[i] = None if tags[i] else "unknown language" + (f" ({seen})" if seen else "")
        elif tag in knows and letters[i] >= min_letters:
            says, confidence = best[i]
            if fits[i] >= FITS and confidence >= min_confidence and not close(says[:3], tag[:3]):
                reasons[i] = f"another language: says {says[:3]} {confidence:.2f}, declared {tag}"
    if max_other < 1:
        checked = [
            tag if olds[i] is None and reasons[i] is None and tag in knows else None for i, tag in enumerate(tags)
        ]
        shares = _other_lines(reader, texts, checked, min_letters, min_confidence)
        for i, (share, which) in enumerate(shares):
            if share > max_other:
                reasons[i] = (
                    f"lines in other languages: first {which[:3]}, have {share:.0%} of its letters, declared {tags[i]}".replace(
                        "%", " %"
                    )
                )
    out = batch.with_columns(
        pl.Series("lang", tags, dtype=pl.String),
        pl.Series("drop", [old or new for old, new in zip(olds, reasons, strict=True)], dtype=pl.String),
    )
    return out.with_columns(*_seen(reader, texts, tags, best, fits)) if columns else out


def _seen(
    reader: Identifier,
    texts: Sequence[str],
    tags: Sequence[str | None],
    best: dict[int, tuple[str, float]],
    fits: dict[int, float],
) -> list[pl.Series]:
    """The columns of what was seen; null where nothing was read."""
    import polars as pl

    from isogloss.core.identify import Ngrams, packaged, spans

    model = getattr(reader, "first", reader)
    model = model if isinstance(model, Ngrams) else packaged()
    found = spans.spans(model, texts, [tag or best.get(i, (None, 0))[0] for i, tag in enumerate(tags)])
    values: dict[str, list[Any]] = {name: [None] * len(texts) for name in SEEN}
    for i, one in enumerate(found):
        if i in best and any(one.letters):
            fit = fits[i] >= FITS
            values["lang_seen"][i] = best[i][0] if fit else "unknown"
            values["lang_confidence"][i] = round(best[i][1], 4)
            values["lang_fit"][i] = round(fits[i], 4)
        if any(one.letters):
            main = tags[i] if tags[i] in one.shares() else None
            values["lang_other"][i] = round(one.other(main), 4)
            main = main or next(iter(one.shares()))
            others = {tag: round(share, 4) for tag, share in one.shares().items() if tag != main}
            values["lang_others"][i] = json.dumps(others) if others else None
    kinds = {"s": pl.String, "f": pl.Float64}
    return [pl.Series(name, values[name], dtype=kinds[kind]) for name, kind in SEEN.items()]


def _all_tags(reader: Identifier) -> list[str]:
    """Give every tag of our table whose language the identifier knows, and every other tag that it knows."""
    from isogloss.core.lang import table

    codes = {tag[:3] for tag in reader.tags}
    return sorted({*(tag for tag in table() if tag[:3] in codes), *reader.tags})
