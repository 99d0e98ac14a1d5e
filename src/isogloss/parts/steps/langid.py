"""Check the declared language and script of every row, and name the language of rows that declare none.

Web addresses, e-mail addresses and @names are set aside first; a text without letters is not checked.

**Script.** A row goes when fewer than half of its letters (`min_script`) are in the script of its tag. A letter that
stands for a syllable or a word counts two, here and in `min_letters`: a name in Latin letters is long. Japanese is
Han with kana, Korean is Hangul with Han; Hans and Hant are told apart by the characters that only GB 2312 or only
Big5 can write.

**Language.** py3langid (139 languages, Barbaresi; Lui and Baldwin 2012) mislabels with confidence what it does not
know, so a row goes only when all of this holds: the identifier knows the declared language, it says another one with
at least `min_confidence`, the two are not close relatives (`CLOSE`, or one macrolanguage), and the text has at least
`min_letters` letters.

**Filling.** A row without `lang` gets one of the declared languages `langs` (without `langs`: any language the
identifier knows or the corpus declares). The identifier fills what it knows. Where the corpus itself has rows of
languages that the identifier lacks, a naive Bayes over their character 1- to 3-grams, learnt from the rows with
a declared language, has its say; a text is filled when the one that speaks is confident, else it is dropped as
"langid: cannot tell".
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from isogloss.core import near as _near
from isogloss.core.scripts import unicode_scripts

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

VERSION = 1
Share = Annotated[float, Field(ge=0, le=1)]
# Rows without a language may be read: this step names it.
FILLS_LANG = True

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

_OTHER_HAN = {"Hans": "Hant", "Hant": "Hans"}

N_FEATURES = 1 << 15
# Characters of a row that naive Bayes reads.
N_READ = 1000


@cache
def _patterns() -> tuple[Any, Any]:
    import regex

    apart = regex.compile(r"\b(?:[a-z][a-z0-9+.-]{1,11}://|www\.)\S+|[^\s@]+@[^\s@]+\.\w+|(?<!\w)@\w+", regex.I)
    return apart, regex.compile(r"\p{L}")


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


def own_text(text: str) -> str:
    """Take web addresses, e-mail addresses and @names out of a text.

    >>> own_text("ጥሩ https://example.org/a @abc")
    'ጥሩ    '
    """
    return str(_patterns()[0].sub(" ", text))


def n_letters(text: str) -> int:
    """Count the letters of a text; one that stands for a syllable or a word (Han, kana, Ethiopic ...) counts two.

    >>> n_letters("ab 12"), n_letters("中文")
    (2, 4)
    """
    return _near.n_units("".join(_patterns()[1].findall(text)))


def han_form(text: str) -> tuple[int, int]:
    """Count the characters that only simplified and only traditional Chinese uses.

    >>> han_form("汉语"), han_form("漢語"), han_form("中文")
    ((2, 0), (0, 2), (0, 0))
    """

    def has(character: str, charset: str) -> bool:
        try:
            character.encode(charset)
        except UnicodeEncodeError:
            return False
        return True

    simple = traditional = 0
    for character in text:
        if character >= "\u3400":
            gb, big = has(character, "gb2312"), has(character, "big5")
            simple += gb and not big
            traditional += big and not gb
    return simple, traditional


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


def main_script(text: str, scripts: Sequence[str]) -> str | None:
    """Give the first of the scripts with the greatest share of the letters, or None."""
    shares = [(script_share(text, script) or 0.0, -i) for i, script in enumerate(scripts)]
    best = max(shares, default=(0.0, 0))
    return scripts[-best[1]] if best[0] >= 0.5 else None


@cache
def _identifier() -> tuple[Any, dict[str, str]]:
    """Load py3langid and the ISO 639-3 code of each of its labels that names a language."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    from isogloss.core.errors import DataError
    from isogloss.core.lang import resolve

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    codes: dict[str, str] = {}
    for label in identifier.labels:
        try:
            codes[label] = resolve(label).tag.split("_")[0]
        except DataError:
            continue  # zxx: no language
    return identifier, codes


@cache
def known() -> frozenset[str]:
    """Give the ISO 639-3 codes that the packaged identifier knows."""
    return frozenset(_identifier()[1].values())


@cache
def close(a: str, b: str) -> bool:
    """Tell whether two ISO 639-3 codes are one language, one macrolanguage or close relatives.

    >>> close("ind", "zsm"), close("arb", "ary"), close("eng", "deu")
    (True, True, False)
    """
    from isogloss.core.errors import DataError
    from isogloss.core.lang import facts, resolve

    def macro(code: str) -> str:
        try:
            found = facts(resolve(code).tag).macrolanguage
        except DataError:
            return code
        return found if found and found != "unknown" else code

    return a == b or macro(a) == macro(b) or any({a, b} <= set(line.split()) for line in CLOSE)


def identify(text: str) -> list[tuple[str, float]]:
    """Give ISO 639-3 codes with probabilities, best first; no language (zxx) is left out but keeps its share."""
    identifier, codes = _identifier()
    total: dict[str, float] = {}
    for label, share in identifier.rank(text):
        if label in codes:
            total[codes[label]] = total.get(codes[label], 0.0) + share
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))


def _features(text: str) -> np.ndarray:
    """Hash the character 1- to 3-grams of a text to feature numbers."""
    import numpy as np

    parts = [_near.shingle_hashes(f" {_near.normalised(text[:N_READ])} ", n, distinct=False) for n in (1, 2, 3)]
    return (np.concatenate(parts) >> np.uint64(17)).astype(np.int64) % N_FEATURES


def summarise(batch: pl.DataFrame, *, langs: tuple[str, ...] = ()) -> pl.DataFrame:
    """Count hashed character n-grams by declared language: `lang, feature, n`.

    Bounded by `N_FEATURES` rows a language. Nothing is counted when the identifier knows all of `langs`.
    """
    import numpy as np
    import polars as pl

    schema = {"lang": pl.String, "feature": pl.Int64, "n": pl.Int64}
    if langs and all(tag.split("_")[0] in known() for tag in langs):
        return pl.DataFrame(schema=schema)
    rows = batch.select("lang", "text").filter(pl.col("lang").is_not_null() & pl.col("text").is_not_null())
    frames = [pl.DataFrame(schema=schema)]
    for (lang,), part in sorted(rows.group_by("lang"), key=lambda item: str(item[0][0])):
        if langs and lang not in langs:
            continue
        counts = np.zeros(N_FEATURES, dtype=np.int64)
        for some in part["text"].to_frame().iter_slices(512):
            features = np.concatenate([_features(own_text(text)) for text in some["text"]])
            counts += np.bincount(features, minlength=N_FEATURES)
        seen = np.flatnonzero(counts)
        frames.append(pl.DataFrame({"lang": [lang] * len(seen), "feature": seen, "n": counts[seen]}, schema=schema))
    return pl.concat(frames)


def decide(summaries: pl.DataFrame) -> pl.DataFrame:
    """Add up the counts; empty when every declared language is one that the identifier knows."""
    import polars as pl

    lacking = [lang for lang in summaries["lang"].unique() if lang.split("_")[0] not in known()]
    if not lacking:
        return summaries.clear()
    return summaries.group_by("lang", "feature").agg(pl.col("n").sum()).sort("lang", "feature")


class _Bayes:
    """Naive Bayes over hashed n-grams, uniform prior; the posterior is flattened by sqrt(n) as py3langid does."""

    def __init__(self, counts: pl.DataFrame) -> None:
        import numpy as np

        self.tags: list[str] = counts["lang"].unique().sort().to_list()
        place = {tag: i for i, tag in enumerate(self.tags)}
        table = np.full((N_FEATURES, max(1, len(self.tags))), 0.1)
        rows = np.array([place[tag] for tag in counts["lang"].to_list()], dtype=np.int64)
        table[counts["feature"].to_numpy(), rows] += counts["n"].to_numpy()
        self.log = np.log(table / table.sum(axis=0))

    def rank(self, text: str) -> list[tuple[str, float]]:
        """Give tags with probabilities, best first; nothing for a text without characters."""
        import numpy as np

        features = _features(text)
        if not self.tags or not features.size:
            return []
        scores = self.log[features].sum(axis=0) / math.sqrt(features.size)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")
        return [(self.tags[i], float(shares[i])) for i in order]


def _fill(text: str, tags: Sequence[str], bayes: _Bayes | None, min_confidence: float) -> tuple[str | None, str]:
    """Choose the tag of a text among `tags`: (tag or None, what was seen)."""
    scripts = tuple(dict.fromkeys(tag.split("_")[1] for tag in tags))
    fits = {script for script in scripts if (script_share(text, script) or 0.0) >= 0.5}
    if not fits:
        return None, ""
    guesses = bayes.rank(text) if bayes else []
    guesses = [(tag, share) for tag, share in guesses if tag in tags and tag.split("_")[1] in fits]
    if guesses and guesses[0][0].split("_")[0] not in known():
        tag, share = guesses[0]
        if share >= min_confidence:
            return tag, ""
        return None, f"{tag} {share:.2f}"
    by_code: dict[str, list[str]] = {}
    for tag in tags:
        if tag.split("_")[1] in fits:
            by_code.setdefault(tag.split("_")[0], []).append(tag)
    # A language that is not declared speaks for the likeliest declared language it is close to.
    ranked = identify(text)
    masses: dict[str, float] = {}
    for code, share in ranked:
        if share < 0.001:
            break
        heir = next((other for other, _ in ranked if other in by_code and _heir(code, other, by_code)), code)
        masses[heir] = masses.get(heir, 0.0) + share
    code, share = max(masses.items(), key=lambda item: (item[1], item[0]))
    if code not in by_code:
        return None, f"{code} {share:.2f} is not declared"
    if share < min_confidence:
        return None, f"{code} {share:.2f}"
    choices = by_code[code]
    script = main_script(text, [tag.split("_")[1] for tag in choices])
    return (f"{code}_{script}", "") if script else (None, "")


def _heir(code: str, other: str, declared: Container[str]) -> bool:
    return code == other or (code not in declared and close(code, other))


def _doubt(text: str, tag: str, min_confidence: float, min_script: float, min_letters: int) -> str | None:
    """Give the reason why a text cannot be in the declared language `tag`, or None."""
    code, _, script = tag.partition("_")
    text = own_text(text)
    share = script_share(text, script)
    if share is not None and share < min_script:
        return f"script: {share:.0%} {script}, declared {tag}".replace("%", " %")
    if code not in known() or n_letters(text) < min_letters:
        return None
    best, confidence = identify(text)[0]
    if confidence < min_confidence or close(best, code):
        return None
    return f"langid: says {best} {confidence:.2f}, declared {tag}"


def apply(
    batch: pl.DataFrame,
    decision: pl.DataFrame,
    *,
    min_confidence: Share = 0.5,
    min_script: Share = 0.5,
    min_letters: Annotated[int, Field(ge=1)] = 15,
    langs: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Write the reasons into `drop` and fill `lang` where it is null.

    Knobs
        min_confidence: probability from which the identifier is believed, share 0..1
        min_script: share of the letters that must be in the declared script, share 0..1
        min_letters: shorter texts are checked for script only, letters

    `langs`, the declared languages, is filled in by the engine.
    """
    import polars as pl

    bayes = _Bayes(decision) if decision.height else None
    tags: Sequence[str] = langs
    olds = batch["drop"].to_list() if "drop" in batch.columns else [None] * batch.height
    found: list[str | None] = []
    drop: list[str | None] = []
    for text, tag, old in zip(batch["text"].to_list(), batch["lang"].to_list(), olds, strict=True):
        reason = None
        if tag is None and old is None:
            if not tags:
                tags = _all_tags(bayes)
            tag, seen = _fill(own_text(text or ""), tags, bayes, min_confidence)
            reason = None if tag else "langid: cannot tell" + (f" ({seen})" if seen else "")
        elif text is not None and old is None:
            reason = _doubt(text, tag, min_confidence, min_script, min_letters)
        found.append(tag)
        drop.append(old if old is not None else reason)
    return batch.with_columns(pl.Series("lang", found, dtype=pl.String), pl.Series("drop", drop, dtype=pl.String))


def _all_tags(bayes: _Bayes | None) -> list[str]:
    """Give the usual tag of every language that the identifier knows, and those that the corpus declares."""
    from isogloss.core.lang import table

    tags = [tag for tag in table() if tag.split("_")[0] in known()]
    return sorted({*tags, *(bayes.tags if bayes else ())})
