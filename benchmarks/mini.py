"""What a text encoder knows across languages, by language: SIB-200, NusaX, retrieval, and text outside its training data.

    python benchmarks/mini.py [--model isogloss/mini] [--packs ../shared/data] [--out scores.json]

- zero-shot: logistic regression (C = 10) on the vectors of the English SIB-200 train rows; accuracy on the test rows;
- all: the same regression on the train rows of all languages together;
- retrieval: the English SIB-200 test sentence finds its translation among the 204 of a language;
- nusax: logistic regression on Indonesian, macro-F1 on the test rows; character n-grams from Indonesian give 0.540;
- clinic: logistic regression on six languages of the bundled sample, macro-F1 on the test rows of all thirteen: short
  messages, which is another kind of text, and two languages (Amharic, Yoruba) that isogloss/mini was not trained on;
- questions: an English question of XQuAD (1,190) or MGSM (250) finds its translation among those of a language. These
  texts are of other kinds than what isogloss/mini was trained on.

Intervals are 95 %: bootstrap over rows; for means over languages, over contents, which all languages share.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

STRENGTH = 10.0
CLINIC = Path(__file__).parent.parent / "src" / "isogloss" / "assets" / "clinic"
CLINIC_SOURCES = ("eng_Latn", "spa_Latn", "zho_Hans", "arb_Arab", "rus_Cyrl", "hin_Deva")
SOURCE = "eng_Latn"


def of(rows: pl.DataFrame, lang: str | None, split: str) -> np.ndarray:
    """Positions of the rows of a split, of one language or of all, in the order of their groups."""
    wanted = rows.with_row_index("at").filter(pl.col("split") == split)
    wanted = wanted if lang is None else wanted.filter(pl.col("lang") == lang)
    return wanted.sort("group", "lang")["at"].to_numpy()


def fitted(vectors: np.ndarray, labels: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression

    # to the end where that is quick; of tens of thousands of rows nearly to the end
    tol = 1e-4 if len(labels) < 5_000 else 1e-3
    return LogisticRegression(C=STRENGTH, max_iter=300, tol=tol).fit(vectors, labels)


def interval(values: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Bootstrap interval of the mean over the last axis, of all rows above it together."""
    n = values.shape[-1]
    draws = [values[..., rng.integers(0, n, n)].mean() for _ in range(1000)]
    return [float(q) for q in np.quantile(draws, (0.025, 0.975))]


def by_lang(right: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, Any]:
    return {
        lang: {"value": float(r.mean()), "interval": interval(r, rng), "n": len(r)}
        for lang, r in sorted(right.items(), key=lambda item: item[1].mean())
    }


def summed(right: dict[str, np.ndarray], rng: np.random.Generator, leave: str = SOURCE) -> dict[str, Any]:
    """Mean over the other languages with its interval, the worst of them, the mean of the worst tenth."""
    others = {lang: r for lang, r in right.items() if lang != leave}
    means = {lang: float(r.mean()) for lang, r in others.items()}
    low = sorted(means.values())
    worst = min(means, key=means.__getitem__)
    same = len({len(r) for r in others.values()}) == 1
    return {
        "mean": float(np.mean(low)), "interval": interval(np.stack(list(others.values())), rng) if same else None,
        "worst": low[0], "worst_lang": worst, "worst_tenth": float(np.mean(low[: max(1, round(len(low) / 10))])),
        "n_langs": len(low),
    }  # fmt: skip


def topics(rows: pl.DataFrame, vectors: np.ndarray, source: str | None) -> dict[str, np.ndarray]:
    """Whether each test row is answered right, by language."""
    labels = rows["label"].to_numpy()
    train = of(rows, source, "train")
    model = fitted(vectors[train], labels[train])
    places = {lang: of(rows, lang, "test") for lang in sorted(rows["lang"].unique())}
    return {lang: (model.predict(vectors[at]) == labels[at]).astype(float) for lang, at in places.items()}


def finds(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """Whether query i finds document i first."""
    return ((queries @ documents.T).argmax(1) == np.arange(len(queries))).astype(float)


def retrieval(rows: pl.DataFrame, vectors: np.ndarray) -> dict[str, np.ndarray]:
    own = of(rows, SOURCE, "test")
    langs = [lang for lang in sorted(rows["lang"].unique()) if lang != SOURCE]
    return {lang: finds(vectors[own], vectors[of(rows, lang, "test")]) for lang in langs}


def questions(packs: Path, embed: Any) -> dict[str, np.ndarray]:
    """Whether each English question finds its translation first, by language; two packs, two indexes."""
    out: dict[str, list[np.ndarray]] = {}
    for name in ("xquad", "mgsm"):
        rows = pl.read_parquet(packs / f"{name}.parquet").unique(["lang", "group"], keep="first", maintain_order=True)
        vectors = embed(rows["text"].to_list())
        own = of(rows, SOURCE, "test")
        for lang in sorted(set(rows["lang"]) - {SOURCE}):
            out.setdefault(lang, []).append(finds(vectors[own], vectors[of(rows, lang, "test")]))
    return {lang: np.concatenate(parts) for lang, parts in out.items()}


def macro_f1(
    rows: pl.DataFrame, vectors: np.ndarray, sources: tuple[str, ...], rng: np.random.Generator
) -> dict[str, Any]:
    from sklearn.metrics import f1_score

    labels = rows["label"].to_numpy()
    train = np.concatenate([of(rows, source, "train") for source in sources])
    model = fitted(vectors[train], labels[train])
    out = {}
    for lang in sorted(rows["lang"].unique()):
        at = of(rows, lang, "test")
        gold, pred = labels[at], model.predict(vectors[at])
        draws = []
        for _ in range(200):
            some = rng.integers(0, len(at), len(at))
            draws.append(f1_score(gold[some], pred[some], average="macro"))
        span = [float(q) for q in np.quantile(draws, (0.025, 0.975))]
        out[lang] = {"value": float(f1_score(gold, pred, average="macro")), "interval": span, "n": len(at)}
    return dict(sorted(out.items(), key=lambda item: item[1]["value"]))


def fertility(rows: pl.DataFrame, tokenizer: Any) -> dict[str, dict[str, float]]:
    """Tokens of the test sentences of a language over those of their English translations, and tokens a character."""
    counts = {}
    for lang in sorted(rows["lang"].unique()):
        texts = rows["text"].gather(of(rows, lang, "test")).to_list()
        ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        counts[lang] = (sum(map(len, ids)), sum(map(len, texts)))
    own = counts[SOURCE][0]
    return {lang: {"over_english": n / own, "a_character": n / n_chars} for lang, (n, n_chars) in counts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="isogloss/mini")
    parser.add_argument("--packs", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--all", action="store_true", help="also train on all languages (minutes)")
    given = parser.parse_args()
    from transformers import AutoTokenizer

    from isogloss.nn import hub
    from isogloss.nn.embedder import Embedder

    rng = np.random.default_rng(17)
    embedder = Embedder.load(given.model)
    embed = embedder.embed
    sib = pl.read_parquet(given.packs / "sib200.parquet")
    if not given.all:
        sib = sib.filter((pl.col("split") == "test") | ((pl.col("split") == "train") & (pl.col("lang") == SOURCE)))
    nusax = pl.read_parquet(given.packs / "nusax_senti.parquet").filter(pl.col("split").is_in(["train", "test"]))
    nusax = nusax.filter((pl.col("split") == "test") | (pl.col("lang") == "ind_Latn"))

    vectors = embed(sib["text"].to_list())
    zero, found = topics(sib, vectors, SOURCE), retrieval(sib, vectors)
    asked = questions(given.packs, embed)
    known = set(pl.read_parquet(given.packs / "flores200.parquet", columns=["lang"])["lang"])
    known |= set(nusax["lang"]) | set(pl.read_parquet(given.packs / "tico19_medical.parquet", columns=["lang"])["lang"])
    f1 = macro_f1(nusax, embed(nusax["text"].to_list()), ("ind_Latn",), rng)
    clinic = pl.concat([pl.read_ndjson(path) for path in sorted(CLINIC.glob("*.jsonl"))])
    messages = macro_f1(clinic, embed(clinic["text"].to_list()), CLINIC_SOURCES, rng)
    targets = {lang: v["value"] for lang, v in messages.items() if lang not in CLINIC_SOURCES}
    strangers = {lang: v for lang, v in targets.items() if lang not in known}
    others = [v["value"] for lang, v in f1.items() if lang != "ind_Latn"]
    result: dict[str, Any] = {
        "model": given.model, "strength": STRENGTH,
        "zero_shot": summed(zero, rng) | {"english": float(zero[SOURCE].mean())},
        "retrieval": summed(found, rng),
        "nusax": {"mean": float(np.mean(others)), "worst": min(others), "indonesian": f1["ind_Latn"]["value"]},
        "questions": summed(asked, rng),
        "clinic": {
            "known": float(np.mean([v for lang, v in targets.items() if lang in known])), "others": strangers,
            "sources": float(np.mean([messages[lang]["value"] for lang in CLINIC_SOURCES])),
        },
    }  # fmt: skip
    if given.all:
        every = topics(sib, vectors, None)
        result["all"] = summed(every, rng, leave="")
    for name, value in result.items():
        print(f"{name:22s} {json.dumps(value)}")
    result["by_lang"] = {
        "zero_shot": by_lang(zero, rng), "retrieval": by_lang(found, rng), "nusax": f1,
        "questions": by_lang(asked, rng), "clinic": messages, "fertility": fertility(sib, AutoTokenizer.from_pretrained(hub.find(given.model, None, Path(given.model)).folder)),
    }  # fmt: skip
    if given.all:
        result["by_lang"]["all"] = by_lang(every, rng)
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "by_lang"}))


if __name__ == "__main__":
    main()
