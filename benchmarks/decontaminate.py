"""What the step `decontaminate` finds: SIB-200 against FLORES-200 dev, and evaluation sentences planted in documents.

    python benchmarks/decontaminate.py [--data ../shared/data] [--json]

**Packs.** Both have parallel ids, and they differ. A content of SIB-200 is the content of FLORES-200 with which it shares a
text verbatim in most of the languages that both have it in; all its rows are then in FLORES, also where the text was edited.
Found: rows that match and rows of their groups. Invented: rows of a content that is in no FLORES content: they hang on one row that matches,
where a pack has a sentence in the wrong place; `agree = 2` leaves them.

**Planted.** Every language of FLORES-200 lends 40 sentences as the evaluation set, and 40 rows that stand in documents made of sentences
of other FLORES contents: as it is, in capitals, in another form, with 1 % or 3 % of the characters edited, alone or between
two other sentences. 40 documents a language have nothing planted; what is found in them is invented.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import parts
from isogloss.core.resampling import wilson
from isogloss.stages import barrier
from isogloss.stages.ops import Op

EACH = 40


def found(rows: pl.DataFrame, against: Path, **knobs: Any) -> pl.DataFrame:
    """`rows` with `level` (a name, `translation`, or null)."""
    part = parts.load("steps", "decontaminate")
    op = Op("decontaminate", part.bind({"against": [against], **knobs}))
    decision = barrier.alone(op, rows)
    names = dict(enumerate(part.constant("LEVELS")))
    told = decision.select("place", pl.col("level").replace_strict(names, default="translation").alias("level"))
    own = rows.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))
    return own.join(told, on="place", how="left", maintain_order="left")


# -- packs ------------------------------------------------------------------------------------------------------


def packs(data: Path) -> dict[str, Any]:
    sib = pl.read_parquet(data / "sib200.parquet", columns=["id", "lang", "group", "text"])
    flores = pl.read_parquet(data / "flores200.parquet", columns=["lang", "group", "text"])
    start = time.monotonic()
    after = found(sib, data / "flores200.parquet")
    seconds = time.monotonic() - start
    same = sib.join(flores.rename({"group": "other"}), on=["lang", "text"]).group_by("group", "other").len("n")
    best = same.sort("n", descending=True).unique("group", keep="first", maintain_order=True)
    shared = sib.filter(pl.col("lang").is_in(flores["lang"].unique().implode())).group_by("group").len("of")
    gold = best.join(shared, on="group").filter(pl.col("n") * 2 > pl.col("of"))["group"]
    rows = after.with_columns(gold=pl.col("group").is_in(gold.implode()), hit=pl.col("level").is_not_null())
    levels = dict(rows.drop_nulls("level").group_by("level").len().iter_rows())
    print(f"SIB-200 against FLORES-200 dev: {sib.height:,} rows, {seconds:.0f} s")
    print(
        "  "
        + ", ".join(
            f"{name} {levels.get(name, 0):,}"
            for name in (*parts.load("steps", "decontaminate").constant("LEVELS"), "translation")
        )
    )
    n = Counter(rows.select("gold", "hit").iter_rows())
    print(
        f"  contents in both: {gold.len():,} (one FLORES content each: {best.filter(pl.col('group').is_in(gold.implode()))['other'].n_unique():,}); "
        f"their rows: {n[True, True]:,} found, {n[True, False]:,} missed; invented: {n[False, True]:,}"
    )
    lone = found(sib, data / "flores200.parquet", agree=2)["level"].to_list().count("translation")
    print(
        f"  translations of which one row matches: {levels.get('translation', 0) - lone:,}; with agree = 2 {lone:,} translations go"
    )
    return {
        "levels": levels,
        "translations_agree_2": lone,
        "contents": gold.len(),
        "found": n[True, True],
        "missed": n[True, False],
        "invented": n[False, True],
        "seconds": round(seconds, 1),
    }


# -- planted ----------------------------------------------------------------------------------------------------


def edited(text: str, share: float, rng: random.Random) -> str:
    out, pool = list(text), [c for c in text if not c.isspace()]
    for _ in range(max(1, round(share * len(text)))):
        i = rng.randrange(len(out))
        out[i] = rng.choice(["", rng.choice(pool), out[i] + rng.choice(pool)])
    return "".join(out)


def planted(data: Path, seed: int) -> dict[str, Any]:
    flores = pl.read_parquet(data / "flores200.parquet", columns=["lang", "group", "text"])
    bench: list[str] = []
    rows: list[tuple[str, str, str | None, bool, str]] = []
    for (lang,), part in sorted(flores.group_by("lang"), key=lambda item: str(item[0][0])):
        rng = random.Random(f"{seed}{lang}")
        texts = part.sort("group").unique("text", maintain_order=True)["text"].to_list()
        rng.shuffle(texts)
        own, rest = texts[:EACH], texts[EACH:]
        bench += own
        kinds = {
            "as it is": lambda t: t,
            "capitals": str.upper,
            "another form": lambda t: unicodedata.normalize("NFKD", t) + "\u200b",
            "1 % edited": lambda t, rng=rng: edited(t, 0.01, rng),
            "3 % edited": lambda t, rng=rng: edited(t, 0.03, rng),
        }
        for i, text in enumerate(own):
            kind = list(kinds)[i % len(kinds)]
            between = bool(i // len(kinds) % 2)
            text = kinds[kind](text)
            text = f"{rest.pop()} {text} {rest.pop()}" if between else text
            rows.append((f"{lang}-{i}", str(lang), kind, between, text))
        rows += [(f"{lang}-n{i}", str(lang), None, False, " ".join(rest.pop() for _ in range(3))) for i in range(EACH)]
    frame = pl.DataFrame(rows, schema=["id", "lang", "kind", "between", "text"], orient="row")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.jsonl"
        pl.DataFrame({"text": bench}).write_ndjson(path)
        after = found(frame, path).with_columns(hit=pl.col("level").is_not_null(), script=pl.col("lang").str.slice(4))
    print(f"planted: {len(bench):,} evaluation sentences, {frame.height:,} documents")
    by = (
        after.filter(pl.col("kind").is_not_null())
        .group_by("kind", "between")
        .agg(pl.len().alias("n"), pl.col("hit").sum())
        .sort("between", "kind")
    )
    for kind, between, n, hit in by.iter_rows():
        low, high = (float(x) for x in wilson(hit, n))
        print(
            f"  {kind:<13} {'between two others' if between else 'alone':<19} {hit / n:.3f} [{low:.3f}, {high:.3f}] of {n:,}"
        )
    scripts = (
        after.filter(pl.col("kind").is_not_null())
        .group_by("script")
        .agg(pl.len().alias("n"), pl.col("hit").sum())
        .sort("script")
    )
    print("  by script: " + ", ".join(f"{script} {hit}/{n}" for script, n, hit in scripts.iter_rows()))
    none = after.filter(pl.col("kind").is_null())
    print(f"  nothing planted: {int(none['hit'].sum())} of {none.height:,} invented")
    return {
        "kinds": by.to_dicts(),
        "scripts": scripts.to_dicts(),
        "invented": int(none["hit"].sum()),
        "of": none.height,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1].parent / "shared" / "data")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    out = {"packs": packs(given.data), "planted": planted(given.data, given.seed)}
    if given.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
