"""Drop what is hardly text of its language: too short, said again, signs for words, unlike the rest of the language.

Five measures, the same in all scripts:

- **symbols**: characters that are no letters and no marks, spaces aside, share;
- **repeated**: lines, runs of four words and runs of one character that were there before, share;
- **length**: letters (one that stands for a syllable or a word counts two);
- **common**: words that are among the `COMMON` commonest of the language, learned from the corpus, share (where nothing
  separates words: pairs of characters);
- **fluency**: mean log probability of its character n-grams in the language, by the packaged identifier's table
  where it knows the language, else by one learned from the corpus.

**Thresholds are learned, a language at a time**, from at most `SAMPLE` of its rows. Up to a quarter of these may be
rubbish: a threshold lies where the quantile `tail` would be if the bad side went on beyond the quartile as it does
between the median and the quartile. `WIDTH` is the least spread of each measure, and no threshold is
stricter than `SAFE`. A short text says little of common words and fluency: it is taken to be part like the rest.

A text without a letter goes in any case. A language with fewer than `FEWEST` rows is not judged otherwise. What was learned, the share of the rows that each threshold
removes, and the share of good text among them (rows that every other measure finds in order) stand in the data card.

`columns` adds `quality`, from 1 to 0, and the measures. Fluency counts all along; the others only beyond what is
ordinary (`ORDINARY` deviations): shorter than most is not worse than most.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field

from isogloss.core import measures as _measures
from isogloss.core import near as _near
from isogloss.core.identify.grams import grams, normal, pieces
from isogloss.core.identify.letters import own_text

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from isogloss.core.frames import Frames
    from isogloss.core.identify.table import Table

VERSION = 2
Tail = Annotated[float, Field(ge=0.0001, le=0.2)]
# Rows of a language that thresholds are learned from, at most and at least, and the characters of each.
SAMPLE, FEWEST, LONG = 600, 50, 1000
# Languages are decided about in so many lots.
BUCKETS = 64
COMMON = 60
# Words and n-grams that a text is given beside its own, as usual as the language's.
BESIDE = {"common": 8, "fluency": 40}
# Each measure: which side is bad, the least spread, and the strictest that a threshold may be.
MEASURES = ("symbols", "repeated", "length", "common", "fluency")
LOW = {"length": True, "symbols": False, "repeated": False, "common": True, "fluency": True}
WIDTH = {"length": 0.15, "symbols": 0.015, "repeated": 0.03, "common": 0.02, "fluency": 0.08}
SAFE = {"length": 4.1, "symbols": 0.3, "repeated": 0.3, "common": 0.5, "fluency": 0.0}
WORDS = {
    "length": "too short", "symbols": "too many signs", "repeated": "said again", "common": "too few common words",
    "fluency": "unlike its language",
}  # fmt: skip
# What counts for `quality`: fluency as it is, other measures from so many deviations on; at `HALF` of them it is 0.5.
ORDINARY, HALF = 1.5, 3.0
# Where the quartile lies in a normal distribution.
QUARTILE = 0.6745
# A language whose texts have fewer common words than this has none to speak of.
NONE = 0.05


def sigmas(tail: float) -> float:
    """How many deviations from the median the quantile `tail` of a normal distribution lies."""
    from statistics import NormalDist

    return -NormalDist().inv_cdf(tail)


# -- one text ---------------------------------------------------------------------------------------------------


def readable(text: str) -> str:
    """What is read of a text: no addresses and @names, and of a long one its beginning, middle and end."""
    return own_text(pieces(text, _measures.READ))


class Read(NamedTuple):
    """What is counted of one text."""

    form: str
    """the letters of at most `LONG` characters, as n-grams are counted"""
    words: list[str]
    """those of `form`"""
    plain: tuple[float, float, float]
    """length (its logarithm), symbols and repetition"""


def counted(text: str, read: str) -> Read:
    """What is counted of a text, of which `read` is read."""
    import math

    form = normal(pieces(read, LONG))
    words = _measures.tokens(form)
    n = _near.n_units(_measures.letters(read)) * max(1, len(text) / _measures.READ)
    again = _measures.repeated(read, words if len(read) <= LONG else None)
    return Read(form, words, (math.log1p(round(n)), _measures.symbols(read), again))


def common(texts: Sequence[Sequence[str]], words: Set[str], usual: float, n: int = BESIDE["common"]) -> list[float]:
    """The share of the words of each text that are common, among its own and `n` more of which a share of `usual` is."""
    return [(sum(word in words for word in own) + n * usual) / (len(own) + n) for own in texts]


class _Reader:
    """Which n-grams are likely in one language: `kinds` of a table's column."""

    def __init__(self, table: Table, column: int, kinds: tuple[int, int]) -> None:
        import numpy as np

        self.table, self.kinds = table, kinds
        self.gain = np.append(table.column(column), np.uint8(0))
        self.floor = table.floor[:, column]

    def sums(self, forms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The log probability (N,) of the n-grams of texts, and how many (N,) these are."""
        import numpy as np

        from isogloss.core.identify.table import STEP

        found = grams(forms)
        wanted = np.isin(found.kind, self.kinds)
        rows, kind = found.row[wanted], found.kind[wanted]
        values = self.gain[self.table.find(found.hash[wanted])] / STEP + self.floor[kind]
        return np.bincount(rows, values, len(forms)), np.bincount(rows, minlength=len(forms)).astype(np.float64)

    def fluency(self, forms: Sequence[str], usual: float) -> np.ndarray:
        total, n = self.sums(forms)
        return (total + BESIDE["fluency"] * usual) / (n + BESIDE["fluency"])


@lru_cache(maxsize=2)  # half a megabyte each, and a millisecond
def _packaged(tag: str) -> _Reader | None:
    from isogloss.core.identify import packaged
    from isogloss.core.identify.chars import told_by

    model = packaged()
    if tag not in model.tags:
        return None
    place = model.tags.index(tag)
    short, long, _ = (int(kind[place]) for kind in told_by(model.usual)[0])
    return _Reader(model.table, place, (short, long))


@lru_cache(maxsize=64)
def _own(forms: tuple[str, ...]) -> _Reader:
    """A table of some texts in one language: by runs of three and four characters, of two and three where characters are many."""
    from isogloss.core.identify.table import build, count

    some = count(grams(forms))
    n_letters = int((some.kind == 0).sum())
    return _Reader(build([some]), 0, (1, 2) if n_letters > 400 else (2, 3))


def _fluencies(tag: str, forms: tuple[str, ...]) -> tuple[np.ndarray, float]:
    """The fluency of the texts that a language is learned from, and the median of its n-grams.

    A table of these texts themselves reads each half by the other.
    """
    import numpy as np

    reader = _packaged(tag)
    if reader is not None:
        total, n = reader.sums(forms)
    else:
        total, n = np.zeros(len(forms)), np.zeros(len(forms))
        for half in (0, 1):
            total[half::2], n[half::2] = _own(forms[1 - half :: 2]).sums(forms[half::2])
    some = n > 0
    usual = float(np.median(total[some] / n[some])) if some.any() else 0.0
    return (total + BESIDE["fluency"] * usual) / (n + BESIDE["fluency"]), usual


# -- what is learned --------------------------------------------------------------------------------------------


def summarise(batch: pl.DataFrame) -> pl.DataFrame:
    """Give `lang, mark, bucket` of at most `SAMPLE` rows of each language, those with the smallest mark, a hash of the text."""
    import polars as pl

    return _first(_marked(batch).select("lang", "mark")).with_columns(_bucket(pl.col("lang")))


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """Name the texts of each language that it is learned from: `lang, mark`, the `SAMPLE` smallest of all."""
    return _first(summaries.select("lang", "mark"))


def inspect(batch: pl.DataFrame, decision: pl.DataFrame) -> pl.DataFrame:
    """Measure these texts: `lang, mark, text` (its letters), `length, symbols, repeated, bucket`."""
    import polars as pl

    chosen = _marked(batch).unique(["lang", "mark"], keep="any").join(decision, on=["lang", "mark"], how="semi")
    schema = {
        "lang": pl.String, "mark": pl.UInt64, "text": pl.String, "length": pl.Float64, "symbols": pl.Float64,
        "repeated": pl.Float64,
    }  # fmt: skip
    found = []
    for tag, mark, text in chosen.sort("lang", "mark").select("lang", "mark", "text").iter_rows():
        own = counted(text, readable(text))
        found.append((tag, mark, own.form, *own.plain))
    return pl.DataFrame(found, schema=schema, orient="row").with_columns(_bucket(pl.col("lang")))


def _marked(batch: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    rows = batch.filter(pl.col("lang").is_not_null() & pl.col("text").is_not_null())
    if "drop" in rows.columns:
        rows = rows.filter(pl.col("drop").is_null())
    marks = [int.from_bytes(_near.digest(text)[:8]) for text in rows["text"].to_list()]
    return rows.select("lang", "text", pl.Series("mark", marks, dtype=pl.UInt64))


def _first(rows: pl.DataFrame) -> pl.DataFrame:
    """The `SAMPLE` smallest marks of each language."""
    import polars as pl

    return rows.unique(["lang", "mark"]).sort("lang", "mark").filter(pl.int_range(pl.len()).over("lang") < SAMPLE)


def _bucket(lang: pl.Expr) -> pl.Expr:
    import polars as pl

    return (lang.hash(0) % BUCKETS).cast(pl.Int64).alias("bucket")


def settle(inspected: pl.DataFrame, summaries: Frames, *, tail: Tail = 0.001) -> pl.DataFrame:
    """Learn, for each language, its common words and the median, spread and threshold of each measure.

    Knobs
        tail: the share of usual text that each threshold may cost, share 0..1

    Gives `lang, what, name, median, spread, limit, removes, removes_good, n`: what is `measure`, or `word` or `text` whose
    name is a common word, or a text to learn n-grams from where the identifier does not know the language. A language
    that has too few rows has one row, `few`.
    """
    import polars as pl

    rows: list[tuple[Any, ...]] = []
    whole = inspected.unique(["lang", "mark"], keep="any").sort("lang", "mark")
    for (tag,), own in sorted(whole.group_by("lang", maintain_order=True), key=lambda item: str(item[0])):
        if own.height < FEWEST:
            rows.append((tag, "few", "", *[None] * 5, own.height))
        else:
            rows += _learn(str(tag), own, tail)
    kinds: dict[str, Any] = dict.fromkeys(("lang", "what", "name"), pl.String)
    kinds |= dict.fromkeys(("median", "spread", "limit", "removes", "removes_good"), pl.Float64) | {"n": pl.Int64}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _learn(tag: str, own: pl.DataFrame, tail: float) -> list[tuple[Any, ...]]:
    from collections import Counter

    import numpy as np

    forms = tuple(own["text"].to_list())
    tokens = [_measures.tokens(form) for form in forms]
    with_word: Counter[str] = Counter()
    for one in tokens:
        with_word.update(set(one))
    ordered = sorted(with_word.items(), key=lambda item: (-item[1], item[0]))
    words = [word for word, n in ordered[:COMMON] if n >= max(3, len(forms) / 100)]
    shares = common([one for one in tokens if one], frozenset(words), 0.0, n=0)
    usual_common = float(np.median(shares or [0.0]))
    fluency, usual_fluency = _fluencies(tag, forms)
    values = {
        **{name: own[name].to_numpy() for name in ("length", "symbols", "repeated")},
        "common": np.array(common(tokens, frozenset(words), usual_common)),
        "fluency": fluency,
    }
    told = {}
    for name in MEASURES:
        told[name] = _threshold(name, values[name], tail)
    if usual_common < NONE:  # a language whose words are all rare
        told["common"] = (told["common"][0], told["common"][1], -1.0)
    bad = np.array([_beyond(name, values[name], told[name][2]) for name in MEASURES])
    # In order by every other measure: half as far from the median as a threshold may be.
    strange: np.ndarray = np.stack(
        [signed(name, values[name], *told[name][:2]) > sigmas(tail) / 2 for name in MEASURES]
    )
    rows: list[tuple[Any, ...]] = []
    for i, name in enumerate(MEASURES):
        good = ~np.delete(strange, i, axis=0).any(0)
        lost = float(np.mean(bad[i, good])) if good.any() else None
        usual = {"common": usual_common, "fluency": usual_fluency}.get(name)
        rows.append((tag, "measure", name, *told[name], float(np.mean(bad[i])), lost, len(forms)))
        if usual is not None:
            rows.append((tag, "usual", name, usual, *[None] * 4, None))
    good, any_bad = np.asarray(strange.sum(0) <= 1), np.asarray(bad.any(0))
    rows.append((
        tag, "all", "", None, None, None, float(any_bad.mean()), float(np.mean(any_bad[good])), len(forms),
    ))  # fmt: skip
    rows += [(tag, "word", word, *[None] * 5, with_word[word]) for word in words]
    if _packaged(tag) is None:
        rows += [(tag, "text", one, *[None] * 5, None) for one in forms]
    return rows


def _threshold(name: str, values: np.ndarray, tail: float) -> tuple[float, float, float]:
    """The median of a measure, its deviation on the bad side, and where its threshold lies."""
    import numpy as np

    median = float(np.median(values))
    quartile = float(np.quantile(values, 0.25 if LOW[name] else 0.75))
    spread = max(abs(median - quartile) / QUARTILE, WIDTH[name])
    limit = median - sigmas(tail) * spread if LOW[name] else median + sigmas(tail) * spread
    limit = min(limit, SAFE[name]) if LOW[name] else max(limit, SAFE[name])
    return median, spread, limit


def _beyond(name: str, values: np.ndarray, limit: float) -> np.ndarray:
    import numpy as np

    return np.asarray(values < limit if LOW[name] else values > limit)


def signed(name: str, values: np.ndarray, median: float, spread: float) -> np.ndarray:
    """How far values are from the median, in deviations, the bad side positive."""
    import numpy as np

    return np.asarray(((median - values) if LOW[name] else (values - median)) / spread)


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """What was learned of each language, for the data card: a row a measure, and one for all together."""
    import polars as pl

    shown = decision.filter(pl.col("what").is_in(["measure", "all", "few"]))
    name = pl.when(pl.col("what") == "all").then(pl.lit("any")).otherwise(pl.col("name"))
    few = pl.when(pl.col("what") == "few").then(pl.lit(f"not judged, under {FEWEST} texts")).otherwise(name)
    log = (pl.col("name") == "length") & (pl.col("what") == "measure")
    values = [pl.when(log).then(pl.col(c).exp() - 1).otherwise(pl.col(c)).alias(c) for c in ("median", "limit")]
    return shown.select(
        "lang", few.alias("measure"), pl.col("n").alias("n_texts"), *values,
        pl.col("removes"), pl.col("removes_good").alias("removes of good text"),
    ).sort("lang", maintain_order=True)  # fmt: skip


# -- a batch ----------------------------------------------------------------------------------------------------


class Learned(NamedTuple):
    """What was learned of one language: `measures` are its median, spread and limit by name."""

    measures: dict[str, tuple[float, float, float]]
    usual: dict[str, float]
    words: set[str]
    texts: list[str]


def by_language(decision: pl.DataFrame) -> dict[str, Learned]:
    """What was learned of each language that had texts enough."""
    found: dict[str, Learned] = {}
    for tag, what, name, *numbers in decision.select("lang", "what", "name", "median", "spread", "limit").iter_rows():
        if what == "few":
            continue
        own = found.setdefault(tag, Learned({}, {}, set(), []))
        if what == "measure":
            own.measures[name] = (numbers[0], numbers[1], numbers[2])
        elif what == "usual":
            own.usual[name] = numbers[0]
        elif what == "word":
            own.words.add(name)
        elif what == "text":
            own.texts.append(name)
    return found


def apply(batch: pl.DataFrame, decision: pl.DataFrame, *, columns: bool = False) -> pl.DataFrame:
    """Name in `drop` what is beyond a threshold of its language: the first measure in the order of the page.

    Knobs
        columns: add `quality` (from 1, usual, to 0) and what was measured as columns (quality_length ...)
    """
    import numpy as np
    import polars as pl

    olds = batch["drop"].to_list() if "drop" in batch.columns else [None] * batch.height
    texts, tags = batch["text"].to_list(), batch["lang"].to_list()
    reasons: list[str | None] = list(olds)
    values = {name: np.full(batch.height, np.nan) for name in MEASURES}
    total = np.full(batch.height, np.nan)
    by_tag: dict[str, list[int]] = {}
    for i, tag in enumerate(tags):
        if tag is not None and texts[i] is not None and olds[i] is None:
            by_tag.setdefault(tag, []).append(i)
    told = by_language(decision)
    for tag, rows in by_tag.items():
        reads = [readable(texts[i]) for i in rows]
        for i, read in zip(rows, reads, strict=True):
            if not any(map(str.isalpha, read)) and not any(
                map(str.isalpha, own_text(pieces(texts[i], 20 * _measures.READ)))
            ):
                reasons[i] = "no letters"
        own = told.get(tag)
        if own is None:
            continue
        found = _measured(tag, [texts[i] for i in rows], reads, own)
        far = np.zeros(len(rows))
        for name in MEASURES:
            median, spread, limit = own.measures[name]
            values[name][rows] = np.expm1(found[name]) if name == "length" else found[name]
            off = signed(name, found[name], median, spread)
            far += off if name == "fluency" else np.maximum(0, off - ORDINARY)
            for place in np.flatnonzero(_beyond(name, found[name], limit)).tolist():
                if reasons[rows[place]] is None:
                    reasons[rows[place]] = _reason(name, found[name][place], limit, tag)
        total[rows] = 1 / (1 + np.exp(far - HALF))
    out = batch.with_columns(pl.Series("drop", reasons, dtype=pl.String))
    if not columns:
        return out
    shown = {"quality": total, **{f"quality_{name}": values[name] for name in MEASURES}}
    return out.with_columns(
        pl.Series(name, np.round(each, 4)).fill_nan(None).cast(pl.Float64) for name, each in shown.items()
    )


def _measured(tag: str, texts: Sequence[str], reads: Sequence[str], own: Learned) -> dict[str, Any]:
    import numpy as np

    found = [counted(text, read) for text, read in zip(texts, reads, strict=True)]
    first = np.array([one.plain for one in found]).reshape(-1, 3)
    reader = _packaged(tag) or _own(tuple(own.texts))
    return {
        "length": first[:, 0], "symbols": first[:, 1], "repeated": first[:, 2],
        "common": np.array(common([one.words for one in found], own.words, own.usual["common"])),
        "fluency": reader.fluency([one.form for one in found], own.usual["fluency"]),
    }  # fmt: skip


def _reason(name: str, value: float, limit: float, tag: str) -> str:
    import math

    if name == "length":
        return f"{WORDS[name]} ({math.expm1(value):.0f} letters, {tag} from {math.expm1(limit):.0f})"
    return f"{WORDS[name]} ({value:.2f}, {tag} {'from' if LOW[name] else 'to'} {limit:.2f})"
