"""evaluate and report a task without labels: ranks on disk, scores by language, the floor beside, and no hole."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from isogloss.core import files, parts
from isogloss.core import recipe as recipes
from isogloss.core.errors import InputError, RecipeError
from isogloss.stages import model
from places import LANGS, Place, Said, corpus_rows, shell, write_jsonl

N_ALONE = 20


def tied_rows() -> list[dict[str, str]]:
    """54 contents in four languages, and English ones that nobody translated."""
    rows = [{name: value for name, value in row.items() if name != "label"} for row in corpus_rows()]
    text = "Nobody translated sentence number {}, which is about nothing."
    return rows + [
        {"id": f"alone-{i}", "lang": "eng_Latn", "text": text.format(i), "group": f"alone-{i}"} for i in range(N_ALONE)
    ]


VALUE = {
    "name": "tied",
    "task": {"use": "embed", "max_length": 48},
    "langs": list(LANGS),
    "model": {"use": "encoder", "scratch": {"layers": 1, "width": 16, "heads": 2, "vocab": 600}},
    "data": {"raw": ["raw.jsonl"], "split": {"dev": 0.2, "test": 0.3}},
    "train": {"steps": 8, "batch": 16, "lr": 0.01, "eval_every": 4, "mix": {"use": "parallel", "together": 4}},
    "evaluate": {"resamples": 200},
    "gate": [{"at": "promote", "every_lang": {"recall_at_10": ">= 0.01", "n": ">= 5"}}],
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Said]]:
    """One whole run in a process of its own; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("embed")
    write_jsonl(folder / "raw.jsonl", tied_rows())
    place = Place(folder, VALUE).with_()
    yield place, shell("run", "recipe.toml", "--json", cwd=folder)
    shutil.rmtree(folder)


@pytest.fixture
def ran(done: tuple[Place, Said]) -> Place:
    return done[0]


@pytest.fixture
def copied(ran: Place, tmp_path: Path) -> Place:
    shutil.copytree(ran.folder, tmp_path, dirs_exist_ok=True)
    origin = tmp_path / "runs" / "tied" / "origin.json"
    origin.write_text(json.dumps({"folder": str(tmp_path)}), encoding="utf-8")
    return Place(tmp_path, VALUE)


def table(place: Place, name: str) -> pl.DataFrame:
    return files.read_parquet(place.run / f"{name}.parquet")


def answers(place: Place, system: str = "model", split: str = "test") -> pl.DataFrame:
    return table(place, f"predictions/{system}").filter(pl.col("split") == split)


# -- what is scored ---------------------------------------------------------------------------------------------


def test_scores_are_what_the_ranks_on_disk_say(done: tuple[Place, Said]) -> None:
    place, said = done
    assert said.code in (0, 1), said.err
    scores = table(place, "scores")
    assert set(scores["system"]) == {"model", "floor_pooled"}
    assert set(scores["metric"]) == {"recall_at_1", "recall_at_5", "recall_at_10", "mrr"}
    assert set(scores["by"]) == {"lang", "script", "family", "resource", "all"}
    for system in ("model", "floor_pooled"):
        ranked = answers(place, system).drop_nulls("rank")
        hits = ranked.group_by("lang").agg((pl.col("rank") <= 5).mean().alias("value"), pl.len().alias("n"))
        found = scores.filter(
            pl.col("system") == system, pl.col("by") == "lang", pl.col("metric") == "recall_at_5"
        ).sort("key")
        assert found.select("key", "value", "n").rows() == [
            (tag, pytest.approx(value), n) for tag, value, n in hits.sort("lang").rows()
        ]
        assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()
    assert (
        scores["signature"].str.contains("units:group").all() and not scores["signature"].str.contains("labels").any()
    )


def test_every_system_ranks_the_same_rows(ran: Place) -> None:
    one, two = (table(ran, f"predictions/{name}").drop("pred", "confidence", "rank", "system") for name in
                ("model", "floor_pooled"))  # fmt: skip
    assert one.equals(two)
    for name in ("model", "floor_pooled"):
        assert answers(ran, name)["rank"].is_null().equals(answers(ran, name)["id"].str.starts_with("alone"))
    assert "probs" not in answers(ran).columns


def test_ranks_against_a_count_by_hand(ran: Place) -> None:
    """The model's own vectors, one loop over rows and groups: no row is compared with a row of its own language."""
    rows = pl.concat(map(files.read_parquet, sorted((ran.run / "corpus").glob("*.parquet"))))
    rows = rows.filter(pl.col("split") == "test")
    loaded = model.load(ran.run)
    vectors = loaded.family.module.predict(loaded.loaded, rows).astype(np.float64)
    known = dict(answers(ran).select("id", "rank").rows())
    at = rows.select("id", "lang", "group").to_dicts()
    agreeing = 0
    for i, row in enumerate(at):
        near = {}
        for group in {r["group"] for r in at}:
            of = [j for j, r in enumerate(at) if r["group"] == group and r["lang"] != row["lang"]]
            if of:
                centre = vectors[of].sum(0)
                near[group] = vectors[i] @ centre / np.linalg.norm(centre)
        if row["group"] not in near:
            assert known[row["id"]] is None
            continue
        mine = near[row["group"]]
        best, worst = (1 + sum(x > mine + s for g, x in near.items() if g != row["group"]) for s in (1e-6, -1e-6))
        assert best <= known[row["id"]] <= worst
        agreeing += best == worst
    assert agreeing > 20


def test_the_train_sample_has_as_many_contents_as_dev(ran: Place) -> None:
    dev, train = (answers(ran, split=split).filter(pl.col("rank").is_not_null()) for split in ("dev", "train"))
    assert dev["group"].n_unique() == train["group"].n_unique() > 5
    assert set(table(ran, "fit")["lang"]) == set(LANGS)
    assert table(ran, "fit")["floor_dev"].null_count() == 0


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), seed=st.integers(0, 1000), n_groups=st.integers(1, 12), n_langs=st.integers(1, 4))
def test_sparse_vectors_rank_as_dense_ones(n: int, seed: int, n_groups: int, n_langs: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 6)) * (rng.random((n, 6)) < 0.6)
    vectors[:, 0] += 0.1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    frame = pl.DataFrame(
        {
            "id": [str(i) for i in range(n)],
            "lang": [f"l{i}" for i in rng.integers(0, n_langs, n)],
            "group": [None if g == 0 else f"g{g}" for g in rng.integers(0, n_groups + 1, n)],
            "split": rng.choice(["dev", "test"], n),
        },
        schema_overrides={"group": pl.String},
    )
    task = parts.load("tasks", "embed").module
    dense, sparse = task.answers(frame, vectors, ()), task.answers(frame, sp.csr_matrix(vectors), ())
    assert dense["rank"].is_null().equals(sparse["rank"].is_null())
    assert dense["rank"].drop_nulls().min() in (None, *range(1, n + 1))
    # rounding may part what is tied; a cosine does not depend on it
    np.testing.assert_allclose(dense["confidence"].to_numpy(), sparse["confidence"].to_numpy(), atol=1e-5)
    assert (dense["rank"] - sparse["rank"]).abs().fill_null(0).sum() <= 2


def test_the_floor_is_tf_idf(ran: Place) -> None:
    """Hashed n-grams have the cosines of scikit-learn's own vectoriser, but for collisions; a blank text is zero."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [row["text"] for row in tied_rows()][::5]
    floor = parts.load("families", "ngram").module
    ours = floor.vectors(texts, floor.rarity(texts))
    theirs = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True).fit_transform(texts)
    np.testing.assert_allclose((ours @ ours.T).toarray(), (theirs @ theirs.T).toarray(), atol=5e-3)
    assert floor.vectors(["", "   "], floor.rarity(texts)).nnz == 0


def test_test_rows_without_translations_are_no_test(tmp_path: Path, cli: Callable[..., Said]) -> None:
    rows = [{**row, "split": ("train", "dev", "test")[i % 3]} for i, row in enumerate(tied_rows())]
    alone = [{**row, "group": row["id"]} if row["split"] == "test" else row for row in rows]
    write_jsonl(tmp_path / "raw.jsonl", alone)
    Place(tmp_path, VALUE).with_(train={"steps": 2})
    said = cli("run", "recipe.toml")
    assert said.code == 2 and "has its content in another language" in said.err


def test_without_dev_rows_nothing_is_said_of_overfitting(copied: Place, cli: Callable[..., Said]) -> None:
    said = cli("run", "recipe.toml", "--set", "name=nodev", "--set", "data.split.dev=0.0", "--set", "train.steps=2")
    assert said.code in (0, 1), said.err
    assert set(table(Place(copied.folder, {"name": "nodev"}), "fit")["verdict"]) == {"cannot tell"}


def test_a_damaged_model_gives_no_score(
    copied: Place, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors that are no numbers have no rank; that is said, and is not a score of zero."""
    family = parts.load("families", "encoder").module
    predict = family.predict
    monkeypatch.setattr(family, "predict", lambda *given: predict(*given) * np.nan)
    said = cli("evaluate", "recipe.toml", "--again")
    assert said.code == 2 and "did training diverge?" in said.err


def test_the_model_before_training_stands_beside(tmp_path: Path, cli: Callable[..., Said]) -> None:
    write_jsonl(tmp_path / "raw.jsonl", tied_rows())
    place = Place(tmp_path, VALUE).with_(model={"use": "encoder", "name": str(tiny.folder("xlm-roberta"))})
    value = {**place.value, "model": {"use": "encoder", "name": str(tiny.folder("xlm-roberta"))}}
    place.recipe.write_text(tomli_w.dumps(value), encoding="utf-8")
    said = cli("run", "recipe.toml", "--json")
    assert said.code in (0, 1), said.err
    assert said.json["systems"] == ["model", "floor_pooled", "untuned"]
    assert "untuned model" in (place.run / "REPORT.md").read_text(encoding="utf-8")
    systems = [answers(place, name)["confidence"].to_list() for name in ("model", "untuned")]
    assert systems[0] != systems[1]


# -- what is said -----------------------------------------------------------------------------------------------


def test_the_report_reads_without_labels(done: tuple[Place, Said]) -> None:
    place, said = done
    text = (place.run / "REPORT.md").read_text(encoding="utf-8")
    n_alone = answers(place)["rank"].null_count()
    n_test = answers(place)["group"].n_unique()
    assert 0 < n_alone < N_ALONE
    assert f"{n_alone} of {answers(place).height} test rows say what no other language has" in text
    assert f"{n_test - n_alone} to {n_test} candidates" in text
    for word in ("label", "majority", "Fairness", "Consistency", "macro_f1", "commonest", "None", "nan"):
        assert word not in text, word
    assert "character n-grams" in text and "recall_at_1 on test, worst language first" in text
    rows = text.split("on test, worst language first\n\n")[1].split("\n\n")[0]
    order = [line.split()[1] for line in rows.split("\n")[2:]]
    assert order == [row["lang"] for row in said.json["langs"]] and set(order) == set(LANGS)
    assert said.json["unscored"] == n_alone and said.json["among"] == f"{n_test - n_alone} to {n_test} candidates"
    assert not (place.run / "fairness.parquet").exists()


def test_what_is_on_screen_says_among_how_many(copied: Place, cli: Callable[..., Said]) -> None:
    said = cli("report", "tied")
    assert said.code == 0
    assert "recall_at_1 on test among" in said.out and "are not scored)" in said.out and "floor_pooled" in said.out


# -- what else works on such a run ------------------------------------------------------------------------------


def test_promote_and_what_is_on_the_shelf(copied: Place, cli: Callable[..., Said]) -> None:
    said = cli("promote", "tied", "--json")
    verdict = files.read_json(copied.run / "verdict.json")["outcome"]
    assert said.code == (0 if verdict == "holds" else 1)
    easy = 'gate=[{at = "promote", mean = {recall_at_10 = ">= 0.0"}}]'
    assert cli("run", "recipe.toml", "--set", easy).code == 0
    said = cli("promote", "recipe.toml", "--set", easy, "--json")
    assert said.code == 0 and (Path(said.json["path"]) / "model" / "modules.json").is_file()


def test_predict_sends_to_embed(copied: Place, cli: Callable[..., Said]) -> None:
    said = cli("predict", "tied", "raw.jsonl")
    assert said.code == 2 and "isogloss embed --model" in said.err and said.err.count("\n") == 1
    with pytest.raises(InputError, match="isogloss embed"):
        model.load(copied.run).predict(["hello"], lang="eng_Latn")


def test_export_is_read_by_sentence_transformers_layout(copied: Place, cli: Callable[..., Said]) -> None:
    assert cli("export", "tied", "out").code == 0
    out = copied.folder / "out"
    modules = json.loads((out / "modules.json").read_text(encoding="utf-8"))
    assert all((out / module["path"]).is_dir() for module in modules)
    rows = pl.DataFrame({"id": ["1"], "lang": ["eng_Latn"], "text": ["Please help me."]})
    ours, theirs = (model.load(folder) for folder in (copied.run, out))
    one, two = (loaded.family.module.predict(loaded.loaded, rows) for loaded in (ours, theirs))
    np.testing.assert_array_equal(one, two)


def test_two_runs_are_compared_on_the_same_rows_only(copied: Place, cli: Callable[..., Said]) -> None:
    assert cli("run", "recipe.toml", "--set", "name=other", "--set", "train.steps=4").code in (0, 1)
    said = cli("compare", "tied", "other", "--json")
    assert said.code == 0 and said.json["metric"] == "recall_at_1"
    one = said.json["comparisons"][0]
    known = {name: dict(answers(Place(copied.folder, {"name": name})).group_by("lang").agg(
        (pl.col("rank") == 1).sum() / pl.col("rank").count()).rows()) for name in ("tied", "other")}  # fmt: skip
    for row in one["langs"]:
        assert row["diff"] == pytest.approx(known["other"][row["lang"]] - known["tied"][row["lang"]])
    said = cli("report", "tied", "other")
    assert said.code == 0 and (copied.run / "report-vs-other.html").is_file()
    said = cli("compare", "tied", "other", "--metric", "macro_f1")
    assert said.code == 2 and "'macro_f1' needs answers with" in said.err and "recall_at_1" in said.err
    # fewer languages: what is left is ranked among other centres
    fewer = 'langs=["eng_Latn", "spa_Latn", "swh_Latn"]'
    assert cli("run", "recipe.toml", "--set", "name=fewer", "--set", fewer, "--set", "train.steps=4").code in (0, 1)
    said = cli("compare", "tied", "fewer")
    assert said.code == 2 and "did not search among the same test rows" in said.err


# -- what is refused when the recipe is read --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ('evaluate.metrics=["mrr", "macro_f1"]', "evaluate.metrics.1", "needs answers with label, pred and probs"),
        ('evaluate.metrics=["recal_at_1"]', "evaluate.metrics.0", "did you mean 'recall_at_1'?"),
        ('gate.0.every_lang={accuracy = ">= 0.5"}', "gate.0.every_lang.accuracy", "the task 'embed' does not give"),
        ('gate.0.beats={majority = "mrr"}', "gate.0.beats.majority", "the task 'embed' has no baseline 'majority'"),
        ('gate.0.beats={floor_pooled = "recall"}', "gate.0.beats.floor_pooled", "did you mean 'recall_at_"),
        ('evaluate.baselines=["floor_lang"]', "evaluate.baselines.0", "did you mean 'floor_pooled'?"),
        ('evaluate.source="eng_Latn"', "evaluate.source", "the task 'embed' has no baseline 'source'"),
        ('task="classify"', "gate.0.every_lang.recall_at_10", "the task 'classify' does not give"),
        ('train.weights="global"', "train.weights", "has no classes to weigh"),
        ('data.keep=["rank"]', "data.keep", "a name that isogloss uses itself"),
    ],
)
def test_what_a_task_cannot_feed_is_refused(ran: Place, change: str, key: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipes.read(ran.recipe, [change])
    assert words in str(caught.value) and f"{key}:" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_family_that_learns_labels_is_refused(ran: Place) -> None:
    value = {**tomllib.loads(ran.recipe.read_text(encoding="utf-8")), "model": "ngram", "train": {}}
    with pytest.raises(RecipeError, match="'ngram' learns labels, and the task 'embed' has none"):
        recipes.build(value)


def test_the_stored_recipe_can_be_read_again(ran: Place) -> None:
    assert recipes.read(ran.run / "recipe.toml").baselines == ("floor_pooled", "untuned")
    assert recipes.read(ran.recipe, ['evaluate.baselines=["untuned"]']).baselines == ("untuned",)
