"""The identifiers on texts they were not trained on: F1 and false positives by language, unknown languages, confidence.

    python benchmarks/langid.py [--data ../shared/data] [--identifier both ngrams py3langid] [--languages] [--json]

`tools/make_langid.py` names what the packaged identifier was trained on. Measured here:

- SIB-200 test, 61 languages: texts whole, and four words of each from a place drawn at random (ten characters where nothing separates
  words). An identifier may say any language that it knows, or "unknown", which is never right here. F1 by language;
  false positives of a language over the texts of all others. 95 % intervals over contents.
- Confidence: by language, the mean distance between the probability that is said and the share that is right (ten bins
  of equal size), over whole and short texts together.
- UDHR, paragraphs of 20 characters or more: the language of each is hidden from the identifier, as if it had never
  been trained on it, and what it says must be "unknown". How much a text is doubted was chosen on half of the families; the other
  half is reported apart, too. A second time with its close relatives hidden as well. Four documents
  are left out, whose variety is another language than the one they are filed under (`ANOTHER`).
- UDHR with `--half-set`: n-gram identifiers trained on one half of the languages, drawn at random, and asked about the paragraphs of
  the other half; two draws, so that every language is outside twice.
- Outside: news (MasakhaNER test) in languages that the identifier does not know: "unknown".
- Other kinds of text: reviews (NusaX test), requests (Injongo test), sums (MGSM), tweets (AfriSenti test).
- Code-switching: three to seven words of one SIB-200 test text planted in one of another language.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import identify
from isogloss.core.identify import Identifier, learning, spans
from isogloss.core.identify.relatives import close
from isogloss.core.lang import facts

ANOTHER = ("French (Welche)", "Occitan (Auvergnat)", "Swahili (Chimwiini)", "Swahili (Kibajuni)")
WORDS, LETTERS, LEAST, DRAWS = 4, 10, 20, 500


def few_words(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    if len(words) > WORDS and len(text) <= 20 * len(words):
        begin = int(rng.integers(0, len(words) - WORDS + 1))
        return " ".join(words[begin : begin + WORDS])
    begin = int(rng.integers(0, max(1, len(text) - LETTERS + 1)))
    return text[begin : begin + LETTERS]


def f1_of(gold: np.ndarray, said: np.ndarray, langs: list[str]) -> np.ndarray:
    found = []
    for lang in langs:
        hits = ((gold == lang) & (said == lang)).sum()
        found.append(2 * hits / max(1, (gold == lang).sum() + (said == lang).sum()))
    return np.array(found)


def scored(reader: Identifier, rows: pl.DataFrame, texts: list[str]) -> dict[str, Any]:
    gold, langs = rows["lang"].to_numpy(), sorted(rows["lang"].unique())
    said = np.array(reader.read(texts).named())
    f1 = f1_of(gold, said, langs)
    wrong = [float(((said == lang) & (gold != lang)).sum() / (gold != lang).sum()) for lang in langs]
    groups = rows["group"].cast(pl.Categorical).to_physical().to_numpy()
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    rng, draws = np.random.default_rng(0), []
    for _ in range(DRAWS):
        drawn = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        draws.append(f1_of(gold[drawn], said[drawn], langs).mean())
    order = np.argsort(f1)
    return {
        "n": len(texts), "langs": len(langs), "macro_f1": float(f1.mean()),
        "interval": [float(x) for x in np.quantile(draws, [0.025, 0.975])],
        "worst": {langs[i]: round(float(f1[i]), 3) for i in order[:5]},
        "false_positive_rate": float(np.mean(wrong)),
        "worst_false_positive_rate": {langs[i]: round(wrong[i], 5) for i in np.argsort(wrong)[::-1][:3]},
        "unknown": float((said == "unknown").mean()),
        "by_lang": {lang: [round(float(a), 4), round(b, 5)] for lang, a, b in zip(langs, f1, wrong, strict=True)},
    }  # fmt: skip


def confidence(reader: Identifier, rows: pl.DataFrame, texts: list[str]) -> dict[str, Any]:
    """Of texts by the language that is said: what is said of them and how many are right."""
    gold = rows["lang"].to_numpy()
    best = reader.read(texts).best()
    said, sure = np.array([tag for tag, _ in best]), np.array([p for _, p in best])
    off, bins = {}, []
    for lang in sorted(set(gold)):
        own = np.flatnonzero(said == lang)
        if len(own):
            parts = np.array_split(own[np.argsort(sure[own])], min(10, len(own)))
            off[lang] = float(
                sum(abs(sure[part].mean() - (gold[part] == lang).mean()) * len(part) for part in parts) / len(own)
            )
    for low, high in ((0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.97), (0.97, 0.995), (0.995, 1.01)):
        own = (sure >= low) & (sure < high)
        if own.any():
            bins.append([low, min(high, 1), int(own.sum()), float(sure[own].mean()), float((said == gold)[own].mean())])
    worst = sorted(off, key=lambda lang: -off[lang])[:5]
    return {
        "off": float(np.mean([*off.values()])), "worst": {lang: round(off[lang], 3) for lang in worst},
        "bins": bins,
    }  # fmt: skip


def unseen_half(langs: list[str]) -> set[str]:
    """The languages of half of the families, on which no constant of the identifiers was chosen: families by size, dealt in turn."""
    by: dict[str, list[str]] = {}
    for lang in langs:
        by.setdefault(facts(lang).family, []).append(lang)
    halves: tuple[list[str], list[str]] = ([], [])
    for family in sorted(by, key=lambda name: (-len(by[name]), name)):
        halves[len(halves[0]) > len(halves[1])].extend(by[family])
    return set(halves[1])


def left_out(reader: Identifier, rows: pl.DataFrame) -> dict[str, Any]:
    """The share of the texts of each language that are "unknown" when it is hidden, alone and with its relatives."""
    alone, wide, kept = {}, {}, {}
    for (lang,), own in sorted(rows.group_by("lang"), key=lambda item: str(item[0])):
        texts, lang = own["text"].to_list(), str(lang)
        if lang not in reader.tags:
            continue
        others = [tag for tag in reader.tags if tag[:3] != lang[:3]]
        alone[lang] = float(np.mean(np.array(reader.read(texts, others).named()) == "unknown"))
        others = [tag for tag in others if not close(tag[:3], lang[:3])]
        wide[lang] = float(np.mean(np.array(reader.read(texts, others).named()) == "unknown"))
        kept[lang] = float(np.mean(np.array(reader.read(texts).named()) == lang))
    n = rows.filter(pl.col("lang").is_in([*alone])).height

    def worst(shares: dict[str, float]) -> dict[str, float]:
        return {lang: round(shares[lang], 2) for lang in sorted(shares, key=lambda lang: shares[lang])[:8]}

    half = unseen_half(sorted(alone))
    return {
        "n": n, "langs": len(alone), "unknown": float(np.mean([*alone.values()])), "worst": worst(alone),
        "langs_unseen_half": len(half), "unknown_unseen_half": float(np.mean([alone[lang] for lang in half])),
        "unknown_relatives_hidden": float(np.mean([*wide.values()])), "worst_relatives_hidden": worst(wide),
        "right_when_known": float(np.mean([*kept.values()])), "worst_right": worst(kept),
    }  # fmt: skip


def half_set(data: Path, rows: pl.DataFrame, splits: int = 2) -> dict[str, Any]:
    """Identifiers trained on one half of the languages, asked about the other half: "unknown" is right."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    from make_langid import corpora  # what the packaged one is trained on

    learn, weigh, _ = corpora(data)
    texts = learning.gather(learn.select("lang", "text", "group").iter_rows())
    beside = learning.gather(weigh.select("lang", "text", "group").iter_rows(), 60_000)
    shares: dict[str, list[float]] = {}
    relatives: dict[str, list[float]] = {}
    known: list[float] = []
    for split in range(splits):
        order = np.random.default_rng(split).permutation(sorted(texts)).tolist()
        for own in (order[: len(order) // 2], order[len(order) // 2 :]):
            inside = set(own)
            model = learning.train(
                {tag: texts[tag] for tag in sorted(inside)},
                beside={tag: beside[tag] for tag in sorted(inside & set(beside))},
            ).model
            for (lang,), some in sorted(rows.group_by("lang"), key=lambda item: str(item[0])):
                said = np.array(model.read(some["text"].to_list()).named())
                if lang in inside:
                    known.append(float(np.mean(said == lang)))
                    continue
                kin = any(close(str(lang)[:3], tag[:3]) for tag in inside)
                (relatives if kin else shares).setdefault(str(lang), []).append(float(np.mean(said == "unknown")))
    both: dict[str, list[float]] = {}
    for one in (shares, relatives):
        for lang, values in one.items():
            both.setdefault(lang, []).extend(values)
    means = {lang: float(np.mean(values)) for lang, values in both.items()}
    return {
        "langs": len(means), "unknown": float(np.mean([*means.values()])),
        "unknown_without_relatives": float(np.mean([np.mean(v) for v in shares.values()])),
        "worst": {lang: round(means[lang], 2) for lang in sorted(means, key=lambda lang: means[lang])[:8]},
        "right_when_known": float(np.mean(known)),
    }  # fmt: skip


def others(reader: Identifier, data: Path) -> dict[str, Any]:
    found = {}
    for name, split in (
        ("nusax_senti", "test"),
        ("injongo_intent_slots", "test"),
        ("mgsm", None),
        ("afrisenti", "test"),
    ):
        rows = pl.read_parquet(data / f"{name}.parquet")
        rows = rows.filter(pl.col("split") == split) if split else rows
        rows = rows.filter(pl.col("lang").is_in(list(reader.tags)))
        rows = rows.sample(min(3000, rows.height), seed=1)
        said, gold = np.array(reader.read(rows["text"].to_list()).named()), rows["lang"].to_numpy()
        right = {lang: float((said == lang)[gold == lang].mean()) for lang in sorted(set(gold))}
        found[name] = {
            "n": len(gold), "right": float(np.mean([*right.values()])), "unknown": float((said == "unknown").mean()),
            "worst": {lang: round(right[lang], 2) for lang in sorted(right, key=lambda lang: right[lang])[:3]},
        }  # fmt: skip
    return found


def outside(reader: Identifier, data: Path) -> dict[str, Any]:
    rows = pl.read_parquet(data / "masakhaner2.parquet").filter(pl.col("split") == "test")
    found = {}
    for (lang,), own in sorted(rows.group_by("lang"), key=lambda item: str(item[0])):
        if str(lang) not in reader.tags:
            texts = [" ".join(tokens) for tokens in own["tokens"] if len(" ".join(tokens)) >= LEAST]
            found[str(lang)] = [len(texts), round(float(np.mean(np.array(reader.read(texts).named()) == "unknown")), 3)]
    return found


def switched(rows: pl.DataFrame) -> dict[str, Any]:
    model, rng = identify.packaged(), np.random.default_rng(0)
    first, second = rows.sample(800, seed=3), rows.sample(800, seed=4)
    texts, gold, pairs = [], [], []
    for a, la, b, lb in zip(first["text"], first["lang"], second["text"], second["lang"], strict=True):
        words, more = a.split(), b.split()
        if close(la[:3], lb[:3]) or min(len(words), len(more)) < 8:
            continue
        part, at = more[: rng.integers(3, 8)], int(rng.integers(0, len(words) - 1))
        texts.append(" ".join(words[:at] + part + words[at:]))
        gold.append(sum(map(len, part)) / sum(map(len, words + part)))
        pairs.append((la, lb))
    found = spans.spans(model, texts, [a for a, _ in pairs])
    other = np.array([one.other(a) for one, (a, _) in zip(found, pairs, strict=True)])
    right = np.array([one.shares().get(b, 0.0) for one, (_, b) in zip(found, pairs, strict=True)])
    whole = rows.sample(800, seed=5)
    plain = spans.spans(model, whole["text"].to_list(), whole["lang"].to_list())
    none = np.array([one.other(lang) for one, lang in zip(plain, whole["lang"], strict=True)])
    return {
        "n": len(texts), "planted": float(np.mean(gold)), "found": float(other.mean()),
        "found_as_planted": float(right.mean()), "mean_error": float(np.abs(other - np.array(gold)).mean()),
        "found_where_none": float(none.mean()), "none_over_a_tenth": float((none > 0.1).mean()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--identifier", nargs="+", default=["both", "ngrams", "py3langid"])
    parser.add_argument("--split", default="test", help="of SIB-200; dev is for choosing")
    parser.add_argument("--languages", action="store_true", help="print F1 and false positives of every language")
    parser.add_argument("--json", action="store_true", help="one JSON document on the last line")
    parser.add_argument(
        "--half-set", action="store_true", help="only train on half of the languages and ask about the others"
    )
    given = parser.parse_args()
    sib = pl.read_parquet(given.data / "sib200.parquet").filter(pl.col("split") == given.split)
    udhr = pl.read_parquet(given.data / "udhr.parquet")
    udhr = udhr.filter(~pl.col("name").is_in(ANOTHER) & (pl.col("text").str.len_chars() >= LEAST))
    if given.half_set:
        half = half_set(given.data, udhr)
        print("half of the languages known:", half)
        if given.json:
            print(json.dumps(half))
        return
    rng = np.random.default_rng(0)
    whole, short = sib["text"].to_list(), [few_words(text, rng) for text in sib["text"]]
    found: dict[str, Any] = {}
    for kind in given.identifier:
        reader = identify.load(kind)
        one = found[kind] = {
            "texts": scored(reader, sib, whole), "words": scored(reader, sib, short),
            "confidence": confidence(reader, pl.concat([sib, sib]), [*whole, *short]),
            "udhr": left_out(reader, udhr), "others": others(reader, given.data),
            "outside": outside(reader, given.data),
        }  # fmt: skip
        print(f"\n{kind}: {len(reader.tags)} languages")
        for name in ("texts", "words"):
            got = one[name]
            low, high = got["interval"]
            print(
                f"  SIB-200 {given.split}, {name}: macro-F1 {got['macro_f1']:.4f} [{low:.4f}, {high:.4f}], "
                f"false positives {got['false_positive_rate']:.5f}, unknown {got['unknown']:.4f}; worst {got['worst']}, "
                f"{got['worst_false_positive_rate']}"
            )
            if given.languages:
                print("   ", got["by_lang"])
        got = one["confidence"]
        print(f"  confidence is off by {got['off']:.4f}, mean over languages; worst {got['worst']}")
        for low, high, n, said, right in got["bins"]:
            print(f"    {low:.3f} to {high:.3f}: n {n:,}, said {said:.3f}, right {right:.3f}")
        got = one["udhr"]
        print(
            f"  UDHR, {got['n']} paragraphs, {got['langs']} languages: unknown {got['unknown']:.3f} when hidden "
            f"({got['unknown_unseen_half']:.3f} in the {got['langs_unseen_half']} of the half that nothing was chosen on), worst "
            f"{got['worst']}; {got['unknown_relatives_hidden']:.3f} with relatives, worst "
            f"{got['worst_relatives_hidden']}; right when known {got['right_when_known']:.3f}, worst {got['worst_right']}"
        )
        for name, own in one["others"].items():
            print(
                f"  {name}: right {own['right']:.3f}, unknown {own['unknown']:.3f}, n {own['n']}, worst {own['worst']}"
            )
        print(f"  not known (n, unknown): {one['outside']}")
    found["code_switching"] = switched(sib)
    print("\ncode-switching:", found["code_switching"])
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
