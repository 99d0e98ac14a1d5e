"""cluster: groups by content are found, languages that stay alone are seen, and texts are not printed unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import isogloss
import tiny
from isogloss.core.errors import DataError, InputError
from isogloss.stages import cluster as stage
from places import Said, write_jsonl

Cli = Callable[..., Said]
LANGS = ("eng_Latn", "swh_Latn", "tha_Thai")
TOPICS = 4


def made(n: int, of_topic: float, of_lang: float, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """`n` rows of each topic and language, translations tied; how far topics and languages push vectors apart."""
    rng = np.random.default_rng(seed)
    axes = np.eye(16)
    rows, vectors = [], []
    for lang_at, lang in enumerate(LANGS):
        for topic in range(TOPICS):
            for i in range(n):
                noise = rng.normal(scale=0.05, size=16)
                vectors.append(of_topic * axes[topic] + of_lang * axes[8 + lang_at] + noise)
                name = f"t{topic}-{i}"
                rows.append({"id": f"{lang}-{name}", "lang": lang, "group": name, "label": f"t{topic}", "text": name})
    wide = np.array(vectors)
    return pl.DataFrame(rows), (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("clusters", [TOPICS, None])
def test_content_is_found_across_languages(clusters: int | None) -> None:
    rows, vectors = made(12, 1.0, 0.1)
    found = stage.group(rows, vectors, clusters=clusters)
    assert len(found.clusters) == TOPICS and found.alone == []
    assert found.langs is not None
    for row in found.langs:
        assert row["n"] == 48 and row["share"] == pytest.approx(1 / 3)
        assert row["together"]["value"] > 0.95 and row["agrees"]["value"] > 0.95
        for name in ("own", "crosses", "together", "agrees", "unassigned"):
            cell = row[name]
            assert cell["n"] and 0 <= cell["low"] <= cell["value"] <= cell["high"] <= 1
    assert [row["n"] for row in found.clusters] == sorted((row["n"] for row in found.clusters), reverse=True)
    assert all(sum(row["langs"].values()) == row["n"] for row in found.clusters)


def test_clusters_that_are_merely_languages_are_seen_and_centring_mends_them() -> None:
    rows, vectors = made(12, 0.3, 1.0)
    found = stage.group(rows, vectors, clusters=3)
    assert sorted(found.alone) == sorted(LANGS) and found.langs is not None
    assert all(row["crosses"]["value"] < 0.1 < row["chance"] for row in found.langs)
    assert any("warning: clusters tell the language" in line and "--centre" in line for line in shown(found))
    mended = stage.group(rows, vectors, clusters=TOPICS, centre=True)
    assert mended.alone == [] and mended.langs is not None
    assert all(row["agrees"]["value"] > 0.95 for row in mended.langs)


def shown(found: stage.Clustered, show: int = 0) -> list[str]:
    from isogloss.cli.screen import columns as _columns

    return list(stage.lines(found, _columns, 100, show))


def test_numbers_do_not_depend_on_the_seed_of_anything_else_and_order_is_that_of_the_rows() -> None:
    rows, vectors = made(8, 1.0, 0.1)
    one = stage.group(rows, vectors, clusters=TOPICS, seed=3)
    np.random.seed(1)
    assert one.rows.equals(stage.group(rows, vectors, clusters=TOPICS, seed=3).rows)
    assert one.rows["id"].equals(rows["id"])
    assert (one.rows["distance"] >= 0).all()


def test_texts_are_shown_only_when_asked_nearest_first() -> None:
    rows, vectors = made(6, 1.0, 0.1)
    rows = rows.with_columns(text=pl.format("secret {} \u202e of\n{}", "id", "label"))
    found = stage.group(rows, vectors, clusters=TOPICS)
    assert not any("secret" in line for line in shown(found))
    assert sum("secret" in line for line in shown(found, 2)) == 2 * TOPICS
    nearest = found.rows.filter(pl.col("cluster") == 0).sort("distance")["text"][0]
    assert found.examples(0, 1) == [nearest]


def test_rows_that_belong_nowhere_are_counted_by_language() -> None:
    rng = np.random.default_rng(0)
    rows, vectors = made(10, 1.0, 0.0)
    far = rng.normal(size=vectors.shape)
    loose = rows["lang"].to_numpy() == "tha_Thai"
    vectors[loose] = (far / np.linalg.norm(far, axis=1, keepdims=True))[loose]
    found = stage.group(rows, vectors, smallest=8)
    assert found.langs is not None
    lost = {row["lang"]: row["unassigned"]["value"] for row in found.langs}
    assert lost["tha_Thai"] > 0.5 > lost["eng_Latn"]
    alone = found.rows.filter(pl.col("cluster").is_null())
    assert alone["distance"].null_count() == alone.height == found.document()["n_unassigned"]


def test_nothing_close_enough_says_what_to_do() -> None:
    rng = np.random.default_rng(0)
    vectors = np.eye(64, dtype=np.float32)[rng.permutation(64)]
    rows = made(6, 1, 1)[0].head(64)
    found = stage.group(rows, vectors, smallest=20)
    assert found.clusters == [] and any("--clusters K" in line for line in shown(found))


def test_without_languages_groups_or_labels_nothing_is_claimed() -> None:
    rows, vectors = made(6, 1.0, 0.1)
    none = rows.with_columns(lang=pl.lit(None, pl.String), group=pl.lit(None, pl.String), label=pl.lit(None, pl.String))
    found = stage.group(none, vectors, clusters=TOPICS)
    assert found.langs is None and found.alone == []
    text = "\n".join(shown(found))
    assert "own" not in text and "languages" not in text


# -- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "m").symlink_to(tiny.sentence_folder())
    write_jsonl(tmp_path / "a.jsonl", tiny.sentences(4))
    return tmp_path


def test_the_command_writes_a_row_a_line(cli: Cli, files: Path) -> None:
    said = cli("cluster", "a.jsonl", "--model", "m", "--clusters", "3", "--out", "c.jsonl", "--json")
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in (files / "c.jsonl").read_text().splitlines()]
    assert [row["id"] for row in lines] == [row["id"] for row in tiny.sentences(4)]
    assert set(lines[0]) == {"id", "lang", "cluster", "distance"} and {row["cluster"] for row in lines} == {0, 1, 2}
    assert said.json["n_clusters"] == 3 and "examples" not in said.json["clusters"][0]
    assert cli("embed", "--model", "m", "--in", "a.jsonl", "--out", "v.npy").code == 0
    other = cli("cluster", "a.jsonl", "--vectors", "v.npy", "--clusters", "3", "--json").json
    assert [row["langs"] for row in other["clusters"]] == [row["langs"] for row in said.json["clusters"]]
    assert other["langs"] == said.json["langs"]
    shown = cli("cluster", "a.jsonl", "--vectors", "v.npy", "--clusters", "3", "--show", "1")
    assert shown.code == 0 and "language" in shown.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.jsonl"], "there is no raw input gone.jsonl"),
        (["a.jsonl", "--clusters", "0"], "--clusters must lie between 1 and the number of rows"),
        (["a.jsonl", "--clusters", "999"], "--clusters must lie between 1 and the number of rows"),
        (["a.jsonl", "--smallest", "1"], "--smallest must be at least 2"),
        (["few.txt"], "are too few for clusters of at least 5"),
        (["few.txt", "--clusters", "1", "--centre"], "few.txt:1: --centre needs a language"),
        (["holes.txt"], "holes.txt:2: empty text"),
        (["a.jsonl", "--vectors", "w.npy"], "w.npy has 3 vectors and a.jsonl has 72 rows"),
        (["a.jsonl", "--clusters", "two"], "--clusters"),
        (["a.jsonl", "--clusters", "2", "--seed", "-1"], "--seed must lie between 0 and"),
        (["a.jsonl", "--clusters", "2", "--show", "-3"], "--show"),
        (["a.jsonl", "--clusters", "2", "--out", "./a.jsonl"], "a.jsonl is what is read"),
    ],
)
def test_what_is_wrong_is_one_sentence(cli: Cli, files: Path, arguments: list[str], words: str) -> None:
    (files / "few.txt").write_text("bread\nsoup\n")
    (files / "holes.txt").write_text("bread\n\nsoup\n")
    np.save(files / "w.npy", np.ones((3, 32), np.float32))
    said = cli("cluster", *arguments, "--model", "m")
    assert said.code == 2 and words in said.err and said.err.count("\n") == 1, said.err


def test_fewer_different_rows_than_clusters_are_said_without_a_warning() -> None:
    assert set(isogloss.cluster(np.ones((8, 3)), clusters=5)) == {0}


def test_the_api_takes_texts_or_vectors(monkeypatch: Any) -> None:
    model = str(tiny.sentence_folder())
    texts = [row["text"] for row in tiny.sentences(4)]
    codes = isogloss.cluster(texts, model, clusters=3)
    assert codes.shape == (len(texts),) and set(codes) == {0, 1, 2}
    assert np.array_equal(codes, isogloss.cluster(isogloss.embed(texts, model), clusters=3))
    with pytest.raises(DataError, match="text 1 is empty"):
        isogloss.cluster(["a", ""], model)
    monkeypatch.setattr(stage, "MOST", 10)
    with pytest.raises(InputError, match="takes at most 10 rows; for 72 say --clusters K"):
        isogloss.cluster(np.eye(72), smallest=2)
