"""Planted near-duplicates by script and by what was done to them: recall and precision of the step `dedup`.

    python benchmarks/dedup.py [--data ../shared/data] [--texts tico xquad udhr cldr] [--sentences 5] [--by lang]

Documents of `--sentences` to two more sentences, no sentence in two of them, up to 150 a language. A fifth of them is planted again:
edited (1 or 2 % of the characters, or 3 % of the words), in another Unicode form, in another case, with other punctuation, other white
space, other digits, with a sentence added anywhere, or with two of these at once. A copy is found when it is dropped for its own
original (or the original for it); precision is the share of found rows among all that are dropped. `--sentences 1` is short text: messages.

Texts: `flores` (looked at while thresholds were chosen), `tico`, `xquad` (contexts), `udhr` (paragraphs), and `cldr`: for every language of CLDR
with a script of its own, rows of words that CLDR has in it (names of countries, languages, currencies, months), which stand in for sentences in
scripts that the packs do not have.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from isogloss.core import lang as lang_table
from isogloss.core import parts
from isogloss.core.resampling import wilson
from isogloss.stages import barrier
from isogloss.stages.ops import Op

DOCUMENTS, PLANTED = 150, 30


# -- sentences --------------------------------------------------------------------------------------------------


def sentences(name: str, data: Path) -> dict[str, list[str]]:
    """Sentences of each language."""
    if name == "cldr":
        return dict(from_cldr())
    file = {
        "flores": "flores200",
        "tico": "tico19_medical",
        "udhr": "udhr",
        "xquad": "xquad",
        "sib": "sib200",
        "xcopa": "xcopa",
        "nusax": "nusax_senti",
    }[name]
    column = "context" if name == "xquad" else "text"
    frame = (
        pl.read_parquet(data / f"{file}.parquet").select("lang", text=column).drop_nulls().unique(maintain_order=True)
    )
    found: dict[str, list[str]] = {}
    for lang, text in frame.sort("lang", "text").iter_rows():
        pieces = re.split(r"(?<=[.!?।。！？؟])\s*", text) if name == "xquad" else [text]
        found.setdefault(lang, []).extend(piece.strip() for piece in pieces if len(piece.strip()) > 15)
    return found


def from_cldr() -> Iterator[tuple[str, list[str]]]:
    from babel import Locale, localedata

    for code in localedata.locale_identifiers():
        try:
            locale = Locale.parse(code)
            tag = lang_table.resolve(code).tag
        except Exception:  # a locale that is not in our table
            continue
        if locale.territory or tag.endswith("_Latn"):
            continue
        words = [*locale.territories.values(), *locale.languages.values(), *locale.currencies.values()]
        words += [name for width in locale.months["format"].values() for name in width.values()]
        words = sorted({str(word) for word in words if not str(word).isascii()})
        if len(words) < 300:
            continue
        rng = random.Random(tag)
        end = "." if not re.search(r"[\u0900-\u097f]", words[0]) else "।"
        yield tag, [", ".join(rng.sample(words, rng.randint(5, 12))) + end for _ in range(1200)]


# -- what is done to a copy -------------------------------------------------------------------------------------


def letters(share: float) -> Callable[[str, random.Random, str], str]:
    def edit(text: str, rng: random.Random, other: str) -> str:
        out = list(text)
        pool = [c for c in text if not c.isspace()]
        for _ in range(max(1, round(share * len(text)))):
            i = rng.randrange(len(out))
            kind = rng.randrange(3)
            out[i] = "" if kind == 0 else rng.choice(pool) if kind == 1 else out[i] + rng.choice(pool)
        return "".join(out)

    return edit


def words(text: str, rng: random.Random, other: str) -> str:
    found = text.split(" ")
    if len(found) < 8 or len(text) > 15 * len(found):  # few spaces: a script that does without them
        return letters(0.01)(text, rng, other)
    pool = other.split(" ")
    for _ in range(max(1, round(0.03 * len(found)))):
        found[rng.randrange(len(found))] = rng.choice(["", rng.choice(pool)])
    return " ".join(found)


def form(text: str, rng: random.Random, other: str) -> str:
    options = [unicodedata.normalize(name, text) for name in ("NFC", "NFD", "NFKC", "NFKD")]
    options.append(text.translate({**{i: i + 0xFEE0 for i in range(0x21, 0x7F)}}))  # full width
    options.append(presentation(text))
    different = [option for option in options if option != text]
    return rng.choice(different or [text + "\u200b"])


def presentation(text: str) -> str:
    """Arabic letters in the code points of their isolated forms."""
    table = {}
    for point in range(0xFE80, 0xFEFD):
        base = unicodedata.normalize("NFKC", chr(point))
        if len(base) == 1:
            table.setdefault(ord(base), chr(point))
    return text.translate(table)


def case(text: str, rng: random.Random, other: str) -> str:
    return rng.choice([text.upper(), text.lower(), text.title()])


def punctuation(text: str, rng: random.Random, other: str) -> str:
    def one(match: re.Match[str]) -> str:
        return rng.choice(["", "!", "…", ";", " – ", match[0]])

    return re.sub(r"(?<!\d)[.,;:!?।。、，؟،\"'()-](?!\d)", one, text) + rng.choice([" ...", "!!", " »", ""])


def space(text: str, rng: random.Random, other: str) -> str:
    return re.sub(r" ", lambda m: rng.choice([" ", "  ", "\u00a0", "\n", "\t"]), text) + "\n"


def digits(text: str, rng: random.Random, other: str) -> str:
    zero = rng.choice([0x660, 0x966, 0x9E6, 0xE50, 0xFF10, 0x1040])
    changed = "".join(chr(zero + unicodedata.digit(c)) if c.isdecimal() else c for c in text)
    return changed if changed != text else space(text, rng, other)


def added(text: str, rng: random.Random, other: str) -> str:
    pieces = text.split("\x1f")
    pieces.insert(rng.randint(0, len(pieces)), other)
    return "\x1f".join(pieces)


KINDS = {
    "letters 1 %": letters(0.01), "letters 2 %": letters(0.02), "words 3 %": words, "form": form, "case": case,
    "punctuation": punctuation, "space": space, "digits": digits, "sentence added": added,
}  # fmt: skip


def both(text: str, rng: random.Random, other: str) -> str:
    for name in rng.sample(["letters 1 %", "form", "case", "punctuation", "space", "sentence added"], 2):
        text = KINDS[name](text, rng, other)
    return text


KINDS["two of these"] = both


# -- measuring --------------------------------------------------------------------------------------------------


def planted(lang: str, own: list[str], n_sentences: int, rng: random.Random) -> list[dict[str, str | None]]:
    """Documents of a language and the copies of a fifth of them; sentences that are added stand in no document."""
    own = list(dict.fromkeys(own))
    rng.shuffle(own)
    spare, own = own[: max(2, len(own) // 8)], own[max(2, len(own) // 8) :]
    rows: list[dict[str, str | None]] = []
    while len(own) >= n_sentences and len(rows) < DOCUMENTS:
        n = n_sentences if n_sentences == 1 else rng.randint(n_sentences, n_sentences + 2)
        some, own = own[:n], own[n:]
        rows.append({"id": f"{lang}-{len(rows):04}", "lang": lang, "text": "\x1f".join(some), "of": None, "kind": None})
    kinds = [kind for _ in range(1 + PLANTED // len(KINDS)) for kind in rng.sample(list(KINDS), len(KINDS))]
    for kind, i in zip(kinds, rng.sample(range(len(rows)), min(PLANTED, len(rows) // 5)), strict=False):
        row = rows[i]
        text = KINDS[kind](str(row["text"]), rng, rng.choice(spare))
        rows.append({"id": f"{row['id']}x", "lang": lang, "text": text, "of": row["id"], "kind": kind})
    glue = "" if lang.split("_")[1] in ("Hans", "Hant", "Jpan", "Thai", "Khmr", "Laoo", "Mymr", "Tibt") else " "
    return [{**row, "text": str(row["text"]).replace("\x1f", glue)} for row in rows]


def measure(texts: dict[str, list[str]], n_sentences: int, knobs: dict[str, object], seed: int) -> pl.DataFrame:
    rows = []
    for lang in sorted(texts):
        key = int.from_bytes(hashlib.blake2b(f"{seed}{lang}".encode(), digest_size=4).digest())
        rows += planted(lang, texts[lang], n_sentences, random.Random(key))
    frame = pl.DataFrame(rows, schema=dict.fromkeys(("id", "lang", "text", "of", "kind"), pl.String))
    op = Op("dedup", parts.load("steps", "dedup").bind(knobs))
    after = op.call("apply", frame, barrier.alone(op, frame))
    twin = pl.col("drop").str.extract(r"duplicate of (\S+)")
    return after.with_columns(twin.alias("twin"), pl.col("lang").str.slice(4).alias("script"))


def table(after: pl.DataFrame, by: str) -> pl.DataFrame:
    """Recall and precision by script, language or kind."""
    partner = after.filter(pl.col("of").is_not_null()).select(id="of", copy="id")
    rows = after.join(partner, on="id", how="left").with_columns(
        right=pl.col("twin").is_not_null() & ((pl.col("twin") == pl.col("of")) | (pl.col("twin") == pl.col("copy")))
    )
    found = rows.filter(pl.col("right")).select(found=pl.coalesce("of", "id"))["found"].implode()
    if by == "kind":
        copies = rows.filter(pl.col("of").is_not_null()).with_columns(hit=pl.col("of").is_in(found))
        return copies.group_by("kind").agg(pl.len().alias("planted"), pl.col("hit").sum().alias("found")).sort("kind")
    return (
        rows.group_by(by)
        .agg(
            pl.col("of").is_null().sum().alias("documents"),
            pl.col("of").is_not_null().sum().alias("planted"),
            (pl.col("of").is_not_null() & pl.col("of").is_in(found)).sum().alias("found"),
            pl.col("twin").is_not_null().sum().alias("dropped"),
            pl.col("right").sum().alias("right"),
        )
        .sort(by)
    )


def summed(tables: list[pl.DataFrame], by: str) -> pl.DataFrame:
    return pl.concat(tables).group_by(by).agg(pl.exclude(by).sum()).sort(by)


def shown(n: int, of: int) -> str:
    if not of:
        return "–"
    low, high = wilson(n, of)
    return f"{n / of:.3f} [{float(low):.3f}, {float(high):.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1].parent / "shared" / "data")
    parser.add_argument("--texts", nargs="+", default=["tico", "xquad", "udhr", "cldr"])
    parser.add_argument("--sentences", type=int, default=5)
    parser.add_argument("--by", choices=("script", "lang"), default="script")
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="a knob of the step, as JSON")
    parser.add_argument(
        "--seeds", type=int, default=5, help="how often documents are drawn and planted; counts are summed"
    )
    parser.add_argument("--show", action="store_true", help="print what was missed and what was dropped wrongly")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    knobs = {name: json.loads(value) for name, _, value in (knob.partition("=") for knob in given.knob)}
    out: dict[str, object] = {}
    for name in given.texts:
        start = time.monotonic()
        texts = sentences(name, given.data)
        each = [measure(texts, given.sentences, knobs, seed) for seed in range(1, given.seeds + 1)]
        after = pl.concat(each)
        print(f"\n{name}: {after.height:,} rows, {time.monotonic() - start:.1f} s, {given.sentences} sentences or more")
        print(f"{given.by:<10}{'documents':>10}{'planted':>9}  {'recall':<24}{'dropped':>8}  precision")
        by = summed([table(one, given.by) for one in each], given.by)
        for row in by.iter_rows(named=True):
            recall, precision = shown(row["found"], row["planted"]), shown(row["right"], row["dropped"])
            print(
                f"{row[given.by]:<10}{row['documents']:>10,}{row['planted']:>9,}  {recall:<24}{row['dropped']:>8,}  {precision}"
            )
        kinds = summed([table(one, "kind") for one in each], "kind")
        print("by kind: " + ", ".join(f"{kind} {n}/{of}" for kind, of, n in kinds.iter_rows()))
        if given.show:
            after = each[0]
            found = set(after.filter(pl.col("twin").is_not_null())["id"])
            for row in after.filter(pl.col("of").is_not_null()).iter_rows(named=True):
                if row["id"] not in found and row["of"] not in found:
                    print("MISSED", row["kind"], row["id"], row["text"][:80])
            wrong = after.filter(
                pl.col("twin").is_not_null(), pl.col("twin").str.strip_suffix("x") != pl.col("id").str.strip_suffix("x")
            )
            for row in wrong.iter_rows(named=True):
                print("WRONG", row["id"], row["drop"], row["text"][:80])
        out[name] = {given.by: by.to_dicts(), "kind": kinds.to_dicts()}
    if given.json:
        print(json.dumps({"sentences": given.sentences, "knobs": knobs, "texts": out}))


if __name__ == "__main__":
    main()
