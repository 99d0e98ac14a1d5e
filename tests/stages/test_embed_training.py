"""Training of vectors: task embed with encoders and the static family, and the method align beside a classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tiny
from isogloss.core.errors import DataError, RecipeError, StaleError
from isogloss.core.run import Run

LANGS = ("eng_Latn", "swh_Latn", "tha_Thai")


def parallel(n: int = 60) -> list[dict[str, str]]:
    """Contents in three languages: the same words, translated one by one."""
    rng = np.random.default_rng(0)
    words = {lang: " ".join(tiny.WORDS[lang].values()).split() for lang in LANGS}
    rows = []
    for i in range(n):
        picked = rng.choice(12, 4, replace=False)
        split = "train" if i < 0.7 * n else "dev" if i < 0.85 * n else "test"
        rows += [
            {
                "id": f"{i}-{lang}",
                "text": " ".join(words[lang][j] for j in picked),
                "lang": lang,
                "group": f"g{i}",
                "split": split,
            }
            for lang in LANGS
        ]
    return rows


def recipe(at: Path, model: Any = None, **sections: Any) -> Any:
    train = {"mix": {"use": "parallel", "together": 3}, "steps": 60, "batch": 48, "lr": 0.02, "eval_every": 20}
    train |= sections.pop("train", {})
    sections = {"task": "embed", "train": train, **sections}
    if model is not None:
        sections["model"] = model
    return tiny.recipe(at, rows=parallel(), **sections)


def card(at: Path, made: Any) -> dict[str, Any]:
    return json.loads((at / "runs" / made.name / "model" / "isogloss.json").read_text(encoding="utf-8"))


STATIC = {"use": "static", "vocab": 400, "width": 16, "heads": 2, "inner": 16, "layers": 2}


@pytest.mark.parametrize("model", [None, STATIC], ids=["scratch", "static"])
def test_it_learns_to_find_translations(model: Any, tmp_path: Path) -> None:
    made = recipe(tmp_path, model)
    tiny.train(made, tmp_path)
    run = Run(tmp_path / "runs" / made.name)
    events = [json.loads(line) for line in run.path("steps.jsonl").read_text().splitlines()]
    scores = [e["mean"] for e in events if e["event"] == "evaluation"]
    assert scores[-1] > 0.8, scores
    assert card(tmp_path, made)["labels"] == []


def test_a_pooler_that_no_vector_goes_through_is_nothing_to_train(tmp_path: Path) -> None:
    from isogloss.core.errors import InputError

    frozen = {"methods": [{"use": "freeze", "blocks": 3}]}
    made = recipe(tmp_path, {"use": "encoder", "name": str(tiny.folder("bert"))}, train=frozen)
    with pytest.raises(InputError, match="nothing is left to train"):
        tiny.train(made, tmp_path)


def test_what_static_writes_gives_the_vectors_it_trained(tmp_path: Path) -> None:
    from isogloss.nn import static as tables
    from isogloss.nn.answer import outputs
    from isogloss.nn.batches import token_ids
    from isogloss.parts.families import encoder, static

    rows = pl.DataFrame(parallel())
    start = tiny.start(tmp_path, labels=(), rows=lambda: rows, embeds=True)
    model = static.load(start, vocab=400, width=16, layers=2, heads=2, inner=16)
    texts = rows["text"].to_list()
    want = outputs(model, token_ids(model, texts, 64)[0])
    assert isinstance(model.net, tables.Table)
    static.write(model, tmp_path / "model")
    frame = pl.DataFrame({"text": texts})
    np.testing.assert_allclose(static.predict(static.read(tmp_path / "model"), frame), want, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(encoder.read(tmp_path / "model"), frame), want, atol=1e-5)
    again = encoder.load(tiny.start(tmp_path, labels=(), embeds=True), name=str(tmp_path / "model"))
    assert len(encoder.blocks(again)) == 2
    np.testing.assert_allclose(np.linalg.norm(want, axis=1), 1, atol=1e-5)


def test_no_text_is_unknown_to_a_unigram_vocabulary(tmp_path: Path) -> None:
    from isogloss.nn.scratch import train_unigram

    tokenizer = train_unigram(pl.DataFrame(parallel()), 400, tmp_path / "tok")
    for text in ("ܐܒ ↯ 🦊", "naïve Ünïcode", "١٢٣ 12 ๑๒", "\u200bx", "a  b\n c"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        back = tokenizer.decode(ids, skip_special_tokens=True)
        assert back == tokenizer.backend_tokenizer.normalizer.normalize_str(text).strip()
    assert len(train_unigram(pl.DataFrame(parallel()), 50_000, tmp_path / "more")) < 1_000, "little text, fewer pieces"
    with pytest.raises(DataError, match="no vocabulary of 40 pieces"):
        train_unigram(pl.DataFrame(parallel()), 40, tmp_path / "fewer")


def test_accumulation_keeps_translations_together(tmp_path: Path) -> None:
    made = recipe(tmp_path, train={"steps": 4, "eval_every": 2, "accumulate": 3})
    tiny.train(made, tmp_path)
    assert card(tmp_path, made)["steps"] == 4


def test_align_brings_translations_together_beside_the_task(tmp_path: Path) -> None:
    from isogloss.nn.embedder import Embedder
    from isogloss.parts.tasks import embed

    aside = tmp_path / "aside.jsonl"
    aside.write_text("\n".join(json.dumps(row) for row in parallel()), encoding="utf-8")
    ranks = {}
    method = {"use": "align", "parallel": [str(aside)], "weight": 1.0}
    for name, methods in {"plain": ["full"], "aligned": ["full", method]}.items():
        (tmp_path / name).mkdir()
        made = tiny.recipe(tmp_path / name, name=name, train={"methods": methods, "steps": 40, "langs": ["eng_Latn"]})
        tiny.train(made, tmp_path / name)
        frame = pl.DataFrame(parallel())
        vectors = Embedder.load(str(tmp_path / name / "runs" / name / "model")).embed(frame["text"].to_list())
        ranks[name] = (embed.answers(frame, vectors, ())["rank"] == 1).mean()
    assert ranks["aligned"] > ranks["plain"] + 0.1, ranks


def test_align_without_anything_tied_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="align needs two contents in two languages each"):
        tiny.train(tiny.recipe(tmp_path, train={"methods": ["full", "align"]}), tmp_path)


def test_align_beside_a_static_model(tmp_path: Path) -> None:
    made = recipe(tmp_path, STATIC, train={"steps": 2, "eval_every": 2, "methods": ["full", "align"]})
    tiny.train(made, tmp_path)
    assert card(tmp_path, made)["steps"] == 2


def test_parallel_text_that_changes_under_finished_work_is_seen(tmp_path: Path) -> None:
    aside = tmp_path / "aside.jsonl"
    aside.write_text("\n".join(json.dumps(row) for row in parallel()), encoding="utf-8")
    methods = ["full", {"use": "align", "parallel": [str(aside)]}]
    made = tiny.recipe(tmp_path, train={"methods": methods, "steps": 2, "eval_every": 2})
    tiny.train(made, tmp_path)
    tiny.train(made, tmp_path)
    aside.write_text("\n".join(json.dumps(row) for row in parallel(30)), encoding="utf-8")
    with pytest.raises(StaleError, match="parallel"):
        tiny.train(made, tmp_path)


def test_what_does_not_go_together_is_refused_with_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the family 'static' is for the task embed, not classify"):
        tiny.recipe(tmp_path, model=STATIC)
    with pytest.raises(RecipeError, match="the family 'static' has no blocks, which the method 'lora' works on"):
        recipe(tmp_path, STATIC, train={"methods": ["lora"]})
    with pytest.raises(RecipeError, match="width = 15 must be an even multiple of heads = 2"):
        recipe(tmp_path, {**STATIC, "width": 15})
    with pytest.raises(RecipeError, match="ngram"):
        recipe(tmp_path, "ngram", train={})


def test_rows_without_a_group_are_set_aside(tmp_path: Path) -> None:
    rows = [*parallel(20), {"id": "x", "text": "alone", "lang": "eng_Latn", "split": "train"}]
    made = tiny.recipe(tmp_path, rows=rows, task="embed")
    tiny.train(made, tmp_path)
    dropped = pl.read_parquet(Run(tmp_path / "runs" / made.name).path("dropped", "*.parquet"))
    assert dropped.select("reason").to_series().to_list() == ["no group"]
