"""The audit of tokenizers beside the published numbers, and how long it takes.

    python benchmarks/audit.py --data ../shared/data

For every tokenizer of the data packs that has a published column (Petrov et al. 2023: FLORES-200 dev and devtest, 2,009
sentences), the premium over English on the 997 dev sentences that are there: how many languages are within 2 %, the
farthest, and whether the audit says broken exactly where the published unknown share is above 0.1. Tokenizers without a
published column (mBERT, o200k, Whisper, Mistral) are audited as well. Then what the published table says of premiums
(the limit COSTLY of core/tax.py is from it), and seconds of `isogloss audit` in a process of its own. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

from isogloss.core import token_files
from isogloss.core.tax import BROKEN, COSTLY
from isogloss.stages.audit import audit
from isogloss.stages.auditing import sample

FILES = {
    "gpt2_r50k_base.tiktoken.gz": ("GPT-2", "r50k_base"),
    "cl100k_base.tiktoken.gz": ("cl100k_base",),
    "xlmr_unigram_vocab.parquet": ("XLM-RoBERTa",),
    "o200k_base.tiktoken.gz": (),
    "whisper_multilingual.tiktoken.gz": (),
    "mbert_cased_vocab.txt.gz": (),
    "mistral_v1_32k.spm.model": (),
}
MADE_FOR_MANY = ("NLLB", "M2M100", "mT5", "XLM-RoBERTa", "MBart50", "Glot500", "SeamlessM4T")
WITHIN = 0.02


def gold(file: str, columns: tuple[str, ...], data: Path, texts: sample.Sample) -> dict[str, Any]:
    """One tokenizer: its audit, and how far it is from what was published."""
    own = token_files.read(data / "tokenizers" / file)
    started = time.monotonic()
    found = audit(own, texts, resamples=200)
    seconds = time.monotonic() - started
    verdicts = {
        verdict: [one.lang for one in found.langs if one.verdict == verdict]
        for verdict in ("broken", "spelled", "costly")
    }
    out: dict[str, Any] = {"tokenizer": file, "seconds": round(seconds, 1), "verdicts": verdicts, "published": {}}
    print(f"\n{file}: {own.kind}, {own.n_vocab:,} pieces, {seconds:.1f} s")
    print("  " + "; ".join(f"{verdict} {len(langs)}" for verdict, langs in verdicts.items()))
    for one in found.langs[:5]:
        print(
            f"  {one.lang}  {one.verdict}: {'; '.join(one.reasons) or 'premium ' + format(one.values['premium'].value, '.2f')}"
        )
    table = pl.read_parquet(data / "tokenizer_premiums_published.parquet")
    for column in columns:
        rows = {row["lang"]: row for row in table.filter(pl.col("tokenizer") == column).iter_rows(named=True)}
        english = rows["eng_Latn"]["tokens_flores_2009"]
        both = [one for one in found.langs if one.lang in rows]
        off = {
            one.lang: one.values["premium"].value / (rows[one.lang]["tokens_flores_2009"] / english) - 1 for one in both
        }
        near = sum(abs(x) <= WITHIN for x in off.values())
        worst = max(off, key=lambda lang: abs(off[lang]))
        should = {one.lang for one in both if rows[one.lang]["unk_fraction"] > BROKEN}
        out["published"][column] = {
            "n": len(off), "within": near, "share": round(near / len(off), 4), "worst": worst, "off": round(off[worst], 4),
            "broken_published": sorted(should), "broken_found": sorted({one.lang for one in both if one.verdict == "broken"}),
        }  # fmt: skip
        print(f"  {column}: {near} of {len(off)} languages within {WITHIN:.0%} ({near / len(off):.1%}), farthest {worst} {off[worst]:+.2%}; "
              f"published unknown share above {BROKEN}: {len(should)} of them")  # fmt: skip
    return out


def premiums(data: Path) -> dict[str, Any]:
    """What the published table says of tokenizers made for a hundred languages or more."""
    table = pl.read_parquet(data / "tokenizer_premiums_published.parquet")
    english = table.filter(pl.col("lang") == "eng_Latn").select("tokenizer", english="tokens_flores_2009")
    rows = table.join(english, on="tokenizer").filter(pl.col("unk_fraction") <= BROKEN)
    rows = rows.with_columns(premium=pl.col("tokens_flores_2009") / pl.col("english"))
    found = rows.group_by("tokenizer").agg(
        n=pl.len(), median=pl.col("premium").median(), p90=pl.col("premium").quantile(0.9), most=pl.col("premium").max(),
        above=(pl.col("premium") > COSTLY).mean(),
    ).sort("p90")  # fmt: skip
    print(f"\npublished premiums over English (unknown share at most {BROKEN}); limit COSTLY = {COSTLY}")
    for row in found.iter_rows(named=True):
        mark = " *" if row["tokenizer"] in MADE_FOR_MANY else ""
        print(f"  {row['tokenizer'] + mark:18} n={row['n']:3}  median {row['median']:.2f}  p90 {row['p90']:.2f}  "
              f"most {row['most']:5.2f}  above {COSTLY}: {row['above']:.0%}")  # fmt: skip
    print("  * made for a hundred languages or more")
    return {row["tokenizer"]: round(row["p90"], 3) for row in found.iter_rows(named=True)}


def speed(data: Path) -> dict[str, float]:
    """Seconds of the command in a process of its own, on the bundled sample (13 languages, 1,950 texts): the least of three."""
    out = {}
    print("\nseconds of `isogloss audit` on the bundled sample (process start included), the least of three")
    for name in ("isogloss/mini", *(str(data / "tokenizers" / file) for file in FILES)):
        command = [sys.executable, "-m", "isogloss", "audit", "--tokenizer", name, "--json"]
        taken = []
        for _ in range(3):
            started = time.monotonic()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            taken.append(time.monotonic() - started)
        found = json.loads(done.stdout)["langs"][0]
        out[Path(name).name] = round(min(taken), 2)
        worst = f"worst: {found['lang']}, {found['verdict']}, premium {found['premium']['value']:.2f}, unknown {found['unknown']['value']:.0%}"
        print(f"  {min(taken):5.2f}  {Path(name).name}; {worst}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of data packs")
    parser.add_argument("--only", nargs="*", help="files of tokenizers; default: all")
    parser.add_argument("--no-speed", action="store_true", help="leave the seconds out")
    given = parser.parse_args()
    texts = sample.read_texts(str(given.data / "flores200.parquet"))
    found = [
        gold(file, columns, given.data, texts)
        for file, columns in FILES.items()
        if not given.only or file in given.only
    ]
    p90 = premiums(given.data)
    seconds = {} if given.no_speed else speed(given.data)
    print(json.dumps({"tokenizers": found, "p90": p90, "seconds": seconds}))


if __name__ == "__main__":
    main()
