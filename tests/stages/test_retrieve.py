"""retrieve: exact search, recall by language pair as it is defined, and inputs that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isogloss
import tiny
from isogloss.core.errors import DataError
from isogloss.nn import search as searching
from isogloss.stages.retrieve import AT, Retrieved, Side, search
from places import Said, write_jsonl

Cli = Callable[..., Said]
LANGS = ("eng_Latn", "swh_Latn", "tha_Thai")


def side(vectors: np.ndarray, langs: list[str], groups: list[str | None]) -> Side:
    n = len(vectors)
    rows = pl.DataFrame(
        {"id": [f"r{i}" for i in range(n)], "lang": langs, "group": groups, "label": [None] * n, "text": ["x"] * n,
         "origin": [f"f:{i + 1}" for i in range(n)]},
        schema_overrides={"group": pl.String, "label": pl.String},
    )  # fmt: skip
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Side(Path("f"), rows, (vectors / np.maximum(lengths, 1e-9)).astype(np.float32), {})


def recall_by_hand(queries: Side, docs: Side, alone: bool) -> dict[tuple[str, str], dict[int, float]]:
    """The definition at the top of stages/retrieve.py, word by word."""
    out: dict[tuple[str, str], list[int]] = {}
    asked, indexed = queries.rows.to_dicts(), docs.rows.to_dicts()
    for i, query in enumerate(asked):
        cosines = queries.vectors[i] @ docs.vectors.T
        if query["group"] is None:
            continue
        for lang in LANGS:
            right = [
                j for j, doc in enumerate(indexed)
                if doc["group"] == query["group"] and doc["lang"] == lang and not (alone and i == j)
            ]  # fmt: skip
            if not right:
                continue
            best = max(cosines[j] for j in right)
            wrong = [j for j, doc in enumerate(indexed) if doc["group"] != query["group"]]
            rank = 1 + sum(bool(cosines[j] >= best - 1e-6) for j in wrong)
            out.setdefault((query["lang"], lang), []).append(rank)
    return {pair: {k: float(np.mean([rank <= k for rank in ranks])) for k in AT} for pair, ranks in out.items()}


@st.composite
def indexes(draw: Any) -> tuple[Side, Side, bool]:
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    alone = draw(st.booleans())

    def one(n: int) -> Side:
        # few directions on a grid, so that ties are frequent and exact
        vectors = rng.integers(-1, 2, (n, 4)).astype(float)
        vectors[np.all(vectors == 0, axis=1)] = 1
        groups = [None if rng.random() < 0.2 else f"g{rng.integers(0, 5)}" for _ in range(n)]
        return side(vectors, rng.choice(LANGS, n).tolist(), groups)

    docs = one(draw(st.integers(2, 40)))
    return (docs if alone else one(draw(st.integers(1, 12)))), docs, alone


@given(indexes())
def test_recall_is_what_the_definition_says(given: tuple[Side, Side, bool]) -> None:
    queries, docs, alone = given
    found = search(queries, docs, top=3, alone=alone)
    expected = recall_by_hand(queries, docs, alone)
    table = {} if found.pairs is None else {(row["query"], row["doc"]): row for row in found.pairs.to_dicts()}
    assert set(table) == set(expected)
    for pair, values in expected.items():
        for k in AT:
            assert table[pair][f"recall@{k}"] == pytest.approx(values[k])
            assert table[pair][f"low@{k}"] - 1e-9 <= values[k] <= table[pair][f"high@{k}"] + 1e-9
    assert found.positions.shape == (queries.rows.height, min(3, docs.rows.height - alone))


def parallel(n: int, vectors: Callable[[int, int], np.ndarray]) -> Side:
    """`n` groups in three languages; `vectors(group, language)`."""
    pairs = [(g, i) for i in range(3) for g in range(n)]
    return side(np.array([vectors(g, i) for g, i in pairs]), [LANGS[i] for _, i in pairs], [f"g{g}" for g, _ in pairs])


def pairs(found: Retrieved) -> pl.DataFrame:
    assert found.pairs is not None
    return found.pairs


def test_equal_translations_are_found_at_once_and_equal_vectors_never() -> None:
    same = parallel(20, lambda g, i: np.eye(20)[g])
    table = pairs(search(same, same, alone=True))
    assert table.height == 6 and (table["recall@1"] == 1).all() and (table["n"] == 20).all()
    collapsed = parallel(20, lambda g, i: np.ones(4))
    assert (pairs(search(collapsed, collapsed, alone=True))["recall@10"] == 0).all()


def test_a_language_that_keeps_to_itself_is_seen_and_comes_first() -> None:
    def vectors(g: int, i: int) -> np.ndarray:
        return np.concatenate([np.eye(20)[g], [0, 3.0] if i == 2 else [3.0, 0]])

    docs = parallel(20, vectors)
    found = search(docs, docs, alone=True)
    table = pairs(found)
    assert table["recall@1"].to_list() == sorted(table["recall@1"])
    worst = table.filter((pl.col("query") == "tha_Thai") | (pl.col("doc") == "tha_Thai"))
    assert (worst["recall@10"] == 0).all() and (table["recall@1"].tail(2) == 1).all()
    assert found.stays is not None
    stays = {row["lang"]: row for row in found.stays.to_dicts()}
    assert (
        stays["tha_Thai"]["keeps"]
        and stays["tha_Thai"]["own"] == 1
        and stays["tha_Thai"]["chance"] == pytest.approx(19 / 59)
    )


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    queries, docs = rng.normal(size=(13, 8)).astype(np.float32), rng.normal(size=(30, 8)).astype(np.float32)
    whole = searching.nearest(queries, docs, 5)
    monkeypatch.setattr(searching, "HELD", 70)
    heard: list[int] = []
    small = searching.nearest(queries, docs, 5, tick=heard.append)
    assert np.array_equal(whole[0], small[0]) and np.allclose(whole[1], small[1]) and heard[-1] == 13
    assert np.array_equal(whole[0], np.argsort(-(queries @ docs.T), axis=1)[:, :5])
    assert searching.nearest(queries, docs, 99)[0].shape == (13, 30)
    assert searching.nearest(docs[:1], docs[:1], 3, skip_self=True)[0].shape == (1, 0)


# -- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "m").symlink_to(tiny.sentence_folder())
    rows = [
        {"id": row["id"], "lang": row["lang"], "text": row["text"], "group": row["id"].split("-", 1)[1]}
        for row in tiny.sentences(3)
    ]
    write_jsonl(tmp_path / "all.jsonl", rows)
    write_jsonl(tmp_path / "eng.jsonl", [row for row in rows if row["lang"] == "eng_Latn"])
    write_jsonl(tmp_path / "others.jsonl", [row for row in rows if row["lang"] != "eng_Latn"])
    (tmp_path / "plain.txt").write_text("\n".join(row["text"] for row in rows[:9]) + "\n", encoding="utf-8")
    return tmp_path


def test_one_file_plays_both_sides(cli: Cli, files: Path) -> None:
    said = cli("retrieve", "--docs", "all.jsonl", "--model", "m", "--out", "hits.jsonl", "--top", "4")
    assert said.code == 0, said.err
    assert "worst pair first" in said.out and "mean of 6 pairs" in said.out
    hits = [json.loads(line) for line in (files / "hits.jsonl").read_text().splitlines()]
    assert len(hits) == 54 and all(len(row["hits"]) == 4 for row in hits)
    assert all(hit["id"] != row["id"] for row in hits for hit in row["hits"])
    assert all([hit["rank"] for hit in row["hits"]] == [1, 2, 3, 4] for row in hits)
    assert "text" not in hits[0] and "right" in hits[0]["hits"][0]


def test_vectors_made_before_give_the_same(cli: Cli, files: Path) -> None:
    for name in ("eng", "others"):
        assert cli("embed", "--model", "m", "--in", f"{name}.jsonl", "--out", f"{name}.npy").code == 0
    sides = ["retrieve", "--docs", "others.jsonl", "--queries", "eng.jsonl", "--json"]
    made = cli(*sides, "--doc-vectors", "others.npy", "--query-vectors", "eng.npy").json
    fresh = cli(*sides, "--model", "m").json
    mixed = cli(*sides, "--model", "m", "--doc-vectors", "others.npy").json
    assert made["pairs"] == fresh["pairs"] == mixed["pairs"] and made["signature"] == fresh["signature"]
    assert {(row["query"], row["doc"]) for row in made["pairs"]} == {("eng_Latn", x) for x in LANGS[1:]}
    assert all(row["n"] == 18 for row in made["pairs"])


def test_without_groups_the_hits_are_the_result(cli: Cli, files: Path) -> None:
    said = cli("retrieve", "--docs", "plain.txt", "--model", "m", "--top", "2")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 0 and len(rows) == 9 and "right" not in rows[0]["hits"][0]
    assert len(cli("retrieve", "--docs", "plain.txt", "--model", "m", "--json").json["hits"]) == 9
    said = cli("retrieve", "--docs", "plain.txt", "--queries", "eng.jsonl", "--model", "m")
    assert said.code == 0 and "have groups and the documents have none, so nothing is measured" in said.err


def rewrite(files: Path, name: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    rows = [json.loads(line) for line in (files / name).read_text(encoding="utf-8").splitlines()]
    change(rows)
    write_jsonl(files / name, rows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda rows: rows[3].update(group="nobody's"),
            "eng.jsonl:4: the group 'nobody's' has no document to be found",
        ),
        (lambda rows: rows[3].pop("lang"), "eng.jsonl:4: a row with a group needs a language"),
        (lambda rows: rows[3].update(text=" "), "eng.jsonl:4: empty text"),
        (lambda rows: rows[3].update(lang="xx-yy-zz"), "eng.jsonl:4: unknown language"),
    ],
)
def test_a_row_that_does_not_fit_is_named(cli: Cli, files: Path, change: Any, words: str) -> None:
    rewrite(files, "eng.jsonl", change)
    said = cli("retrieve", "--docs", "others.jsonl", "--queries", "eng.jsonl", "--model", "m")
    assert said.code == 2 and words in said.err and said.err.count("\n") == 1, said.err


def test_a_single_row_of_a_group_has_no_pair(cli: Cli, files: Path) -> None:
    rewrite(files, "all.jsonl", lambda rows: rows[5].update(group="alone"))
    said = cli("retrieve", "--docs", "all.jsonl", "--model", "m")
    assert said.code == 2 and "all.jsonl:6: the group 'alone' has no other row to be found" in said.err


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (
            np.ones((36, 7), np.float32),
            "query vectors (eng.npy) have 32 dimensions and document vectors (d.npy) have 7",
        ),
        (np.ones((35, 32), np.float32), "d.npy has 35 vectors and others.jsonl has 36 rows"),
        (np.ones(36, np.float32), "in two dimensions; it has (36,)"),
        (np.ones((36, 32), np.int64), "one vector of floats a row"),
        (np.zeros((36, 32), np.float32), "vector 0 of d.npy is zero or not finite"),
        (np.full((36, 32), np.nan, np.float32), "vector 0 of d.npy is zero or not finite"),
        (np.array([{"a": 1}], dtype=object), "cannot be read as .npy"),
        (None, "there are no vectors d.npy; make them with: isogloss embed --in others.jsonl --out d.npy"),
    ],
)
def test_vectors_that_do_not_fit(cli: Cli, files: Path, vectors: np.ndarray | None, words: str) -> None:
    if vectors is not None:
        np.save(files / "d.npy", vectors, allow_pickle=vectors.dtype == object)
    assert cli("embed", "--model", "m", "--in", "eng.jsonl", "--out", "eng.npy").code == 0
    said = cli(
        "retrieve",
        "--docs",
        "others.jsonl",
        "--queries",
        "eng.jsonl",
        "--doc-vectors",
        "d.npy",
        "--query-vectors",
        "eng.npy",
    )
    assert said.code == 2 and words in said.err and said.err.count("\n") == 1, said.err


def test_vectors_of_another_model_of_the_same_width(cli: Cli, files: Path) -> None:
    import shutil

    other = Path(shutil.copytree(tiny.sentence_folder(), files / "other"))
    (other / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    assert cli("embed", "--model", "other", "--in", "others.jsonl", "--out", "d.npy").code == 0
    sides = ["retrieve", "--docs", "others.jsonl", "--queries", "eng.jsonl", "--model", "m", "--doc-vectors", "d.npy"]
    said = cli(*sides)
    assert said.code == 2 and "query vectors were made by m and document vectors by other" in said.err
    (files / "d.json").write_text('{"digest": "of other vectors", "vectors": "0"}')
    assert cli(*sides).code == 0


def test_other_wrong_words(cli: Cli, files: Path) -> None:
    for arguments, words in (
        (["--docs", "all.jsonl", "--model", "m", "--top", "0"], "--top must be at least 1"),
        (["--docs", "all.jsonl", "--query-vectors", "x.npy"], "--query-vectors needs --queries"),
        (["--docs", "all.jsonl", "--model", "m", "--out", "all.jsonl"], "all.jsonl is what is read"),
        (["--queries", "all.jsonl"], "Missing option '--docs'"),
        (["--docs", "all.jsonl", "--model", "./gone"], "there is no model folder"),
    ):
        said = cli("retrieve", *arguments)
        assert said.code == 2 and words in said.err, said.err


def test_the_api_takes_texts_or_vectors() -> None:
    texts = [row["text"] for row in tiny.sentences(2)]
    model = str(tiny.sentence_folder())
    positions, cosines = isogloss.retrieve(texts[:4], texts, model, top=3)
    again, same = isogloss.retrieve(isogloss.embed(texts[:4], model), texts, model, top=3)
    assert positions.shape == cosines.shape == (4, 3) and np.allclose(cosines, same, atol=1e-5)
    assert np.allclose(cosines[:, 0], 1, atol=1e-5) and np.array_equal(positions, again)
    with pytest.raises(DataError, match="queries have 5 dimensions and docs 4"):
        isogloss.retrieve(np.ones((2, 5)), np.ones((2, 4)))
