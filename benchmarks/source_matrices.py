"""Full source × target matrices: train on one language, score on all; what tools/make_sources.py is fitted on.

    python benchmarks/source_matrices.py --data ../shared/data --out work/matrices --json
    python benchmarks/source_matrices.py --data ../shared/data --out work/matrices --model isogloss/mini
    python benchmarks/source_matrices.py --data ../shared/data --out work/matrices --model isogloss/mini --tune

For every source language of a pack one classifier is fitted on its training rows and scored on the dev and test rows
of every target. `--model ngram` (the default) is the family `ngram`; any other name is an encoder, whose vectors go
into a logistic regression; with `--tune` the encoder is fine-tuned by the training loop (six epochs at 5e-4, the
recipes' rates for isogloss/mini), a run for each source. `--rows` gives numbers of training rows (drawn once a source, a smaller draw inside a
larger one); a source that has fewer is taken whole, once. The facts that texts give (overlap, similarity) are measured on half of
the parallel groups for the source and on the other half for the target, so that no sentence meets its translation.

It writes PACK-MODEL.parquet: pack, task, model, source, target, n_train, n, accuracy, macro_f1 (0..1), n_source,
n_target, and the features of texts as core/sources.py has them. Rows stay in the work folder: nothing of them is
shipped. Packs are read as `id, text, label, lang, split, group`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import files, parts, sources

# Pack: the file, the task, and its licence. Files of no or of a non-commercial licence have no place here.
PACKS = {
    "sib200": ("sib200.parquet", "classify", "CC-BY-SA 4.0"),
    "nusax": ("nusax_senti.parquet", "sentiment", "CC-BY-SA 4.0"),
    "injongo": ("injongo_intent_slots.parquet", "intent", "Apache-2.0"),
    "afrisenti": ("afrisenti.parquet", "sentiment", "CC-BY 4.0"),
}
SEED = 13
MAX_ROWS = 10_000

# A scorer is fitted on texts and labels and gives predicted label codes of the pack's test rows, all targets at once.
Predict = Callable[[Sequence[str], np.ndarray, int], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the packs")
    parser.add_argument("--out", type=Path, default=Path("work/matrices"), help="folder for the matrices")
    parser.add_argument("--packs", default=",".join(PACKS), help="packs, with commas between")
    parser.add_argument("--model", default="ngram", help="'ngram', or an encoder: isogloss/mini, a folder")
    parser.add_argument("--tune", action="store_true", help="fine-tune the encoder, whole, instead of a layer on it")
    parser.add_argument("--rows", default=str(MAX_ROWS), help="training rows a source, with commas between")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    given = parser.parse_args()
    done = []
    for name in given.packs.split(","):
        if name not in PACKS:
            parser.error(f"no pack '{name}'; known: {', '.join(PACKS)}")
        file, task, _ = PACKS[name]
        if not (given.data / file).is_file():
            print(f"{name}: {given.data / file} is not here, so it is left out", file=sys.stderr)
            continue
        begun = time.monotonic()
        called = given.model + ("-tuned" if given.tune else "")
        table = matrix(given.data / file, name, task, called, [int(n) for n in given.rows.split(",")])
        path = given.out / f"{name}-{called.replace('/', '-')}.parquet"
        files.write_parquet(path, table)
        done.append({**summary(table), "seconds": round(time.monotonic() - begun, 1), "path": str(path)})
        if not given.json:
            print("\n".join(f"{key}: {value}" for key, value in done[-1].items()) + "\n")
    if given.json:
        print(json.dumps(done, indent=2))


def matrix(path: Path, pack: str, task: str, model: str, sizes: list[int]) -> pl.DataFrame:
    """One row a source, target and number of training rows."""
    frame = pl.read_parquet(path).filter(pl.col("label").is_not_null(), pl.col("text").str.len_chars() > 0)
    if "group" not in frame.columns:
        frame = frame.with_columns(group=pl.lit(None, pl.String))
    labels = sorted(frame["label"].unique())
    code = {label: i for i, label in enumerate(labels)}
    train = frame.filter(pl.col("split") == "train").sort("lang", "id")
    test = frame.filter(pl.col("split").is_in(["dev", "test"])).sort("lang", "id")
    targets, at = np.unique(test["lang"].to_numpy(), return_inverse=True)
    gold = np.array([code[label] for label in test["label"]])
    if model == "ngram":
        predict = ngram(test, len(labels))
    elif model.endswith("-tuned"):
        predict = tuned(model.removesuffix("-tuned"), test, len(labels))
    else:
        predict = encoder(model, train)(test, len(labels))
    facts = texts(frame)
    n_rows = dict(train.group_by("lang").len().iter_rows())
    rows: list[dict[str, Any]] = []
    for source in sorted(n_rows):
        own = train.filter(pl.col("lang") == source)
        order = np.random.default_rng(SEED).permutation(own.height)
        for n in sorted({min(size, own.height) for size in sizes}):
            part = own[np.sort(order[:n])]
            said = predict(part["text"].to_list(), np.array([code[label] for label in part["label"]]), len(labels))
            for k, target in enumerate(targets):
                mine = at == k
                rows.append(
                    {
                        "pack": pack,
                        "task": task,
                        "model": model,
                        "source": source,
                        "target": target,
                        "n_train": n,
                        "n": int(mine.sum()),
                        "accuracy": float((said[mine] == gold[mine]).mean()),
                        "macro_f1": macro_f1(gold[mine], said[mine], len(labels)),
                        "n_source": n_rows[source],
                        "n_target": n_rows.get(target, 0),
                        **facts.get((source, target), {}),
                    }
                )
        print(f"{pack}: {source} done", file=sys.stderr, flush=True)
    return pl.DataFrame(rows, infer_schema_length=None)


def ngram(test: pl.DataFrame, n_labels: int) -> Predict:
    """The family `ngram`, with its own defaults."""
    family = parts.load("families", "ngram").module

    def predict(given: Sequence[str], codes: np.ndarray, n: int) -> np.ndarray:
        names = [str(i) for i in range(n)]
        frame = pl.DataFrame({"text": list(given), "label": [str(c) for c in codes]})
        fitted = family.fit(frame.with_columns(lang=pl.lit("*"), weight=pl.lit(1.0)), names, scope="pooled")
        return family.predict(fitted, test).argmax(1)

    return predict


def encoder(name: str, train: pl.DataFrame) -> Callable[[pl.DataFrame, int], Predict]:
    """Vectors of a frozen encoder, standardised by the source, and a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    from isogloss.nn.embedder import Embedder

    embedder = Embedder.load(name)

    def make(test: pl.DataFrame, n_labels: int) -> Predict:
        known = dict(zip(train["text"], np.asarray(embedder.embed(train["text"].to_list())), strict=True))
        vectors = np.asarray(embedder.embed(test["text"].to_list()))

        def predict(given: Sequence[str], codes: np.ndarray, n: int) -> np.ndarray:
            x = np.stack([known[text] for text in given])
            centre, scale = x.mean(0), x.std(0) + 1e-6
            fitted = LogisticRegression(C=0.05, max_iter=300).fit((x - centre) / scale, codes)
            return fitted.predict((vectors - centre) / scale)

        return predict

    return make


def tuned(name: str, test: pl.DataFrame, n_labels: int) -> Predict:
    """The encoder fine-tuned by the training loop; the rows of every tenth text are dev, and choose the checkpoint."""
    from isogloss.core.say import Say
    from isogloss.stages import chain, model

    names = [f"{i:03}" for i in range(n_labels)]
    asked = pl.DataFrame({"id": [str(i) for i in range(test.height)], "lang": test["lang"], "text": test["text"]})

    def predict(given: Sequence[str], codes: np.ndarray, n: int) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            rows = pl.DataFrame({"text": list(given), "label": [names[c] for c in codes]})
            rows = rows.with_columns(lang=pl.lit("eng_Latn"), split=pl.lit("train"))  # one language, whichever it is
            dev = pl.int_range(pl.len()) % 10 == 9
            rows = rows.with_columns(split=pl.when(dev).then(pl.lit("dev")).otherwise("split"))
            path = Path(folder) / "rows.parquet"
            rows.write_parquet(path)
            recipe = {
                "name": "one", "model": {"use": "encoder", "name": name}, "data": {"raw": [str(path)]},
                "task": {"use": "classify", "max_length": 164, "labels": names},
                "train": {"epochs": 6.0, "batch": 32, "lr": 5e-4, "warmup": 0.2},
            }  # fmt: skip
            _, run = chain.advance(recipe, "train", runs=folder, say=Say())
            return model.load(run.folder).probabilities(asked).argmax(1)

    return predict


def texts(frame: pl.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """Features of texts by source and target; where rows are parallel, no group is on both sides."""
    train = frame.filter(pl.col("split") == "train").sort("lang", "id")
    unlabelled = (
        frame.filter(pl.col("split") == "train") if train["lang"].n_unique() == frame["lang"].n_unique() else frame
    )
    unlabelled = unlabelled.sort("lang", "id")
    parallel = frame["group"].null_count() == 0 and frame["group"].n_unique() < frame.height / 2
    half = pl.col("group").rank("dense") % 2 if parallel else pl.lit(1)
    train, unlabelled = (part.with_columns(half=half) for part in (train, unlabelled))
    left = {lang: sources.profile(own["text"]) for (lang,), own in train.filter(pl.col("half") == 1).group_by("lang")}
    right = {
        lang: sources.profile(own["text"])
        for (lang,), own in unlabelled.filter(pl.col("half") == (0 if parallel else 1)).group_by("lang")
    }
    return {(a, b): sources.text_features(left[a], right[b]) for a in left for b in right}


def macro_f1(gold: np.ndarray, said: np.ndarray, n_labels: int) -> float:
    """The mean over labels that gold has."""
    hit = np.bincount(gold[gold == said], minlength=n_labels)
    there, guessed = np.bincount(gold, minlength=n_labels), np.bincount(said, minlength=n_labels)
    f1 = 2 * hit / np.maximum(there + guessed, 1)
    return float(f1[there > 0].mean())


def summary(table: pl.DataFrame) -> dict[str, Any]:
    """What the matrix says of English and of the best source, on targets that are not the source."""
    largest = table.filter(
        pl.col("n_train") == pl.col("n_train").max().over("source"), pl.col("source") != pl.col("target")
    )
    best = largest.group_by("target").agg(pl.col("accuracy").max())["accuracy"]
    english = largest.filter(pl.col("source") == "eng_Latn")["accuracy"]
    return {
        "pack": table["pack"][0],
        "model": table["model"][0],
        "n_sources": table["source"].n_unique(),
        "n_targets": table["target"].n_unique(),
        "best_source": round(float(best.mean()), 4),  # type: ignore[arg-type]
        "english": round(float(english.mean()), 4) if len(english) else None,  # type: ignore[arg-type]
        "mean_source": round(float(largest["accuracy"].mean()), 4),  # type: ignore[arg-type]
    }


if __name__ == "__main__":
    main()
