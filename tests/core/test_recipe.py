"""Recipe: an error names file, line, key and the nearest right name, at once; and no recipe breaks the reader."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import recipe
from isogloss.core.errors import RecipeError
from isogloss.core.recipe import Recipe, line_of

GOOD: dict[str, Any] = {
    "name": "good",
    "langs": ["en", "swh_Latn", "hin"],
    "task": "classify",
    "model": {"use": "ngram", "scope": "pooled", "n_max": 3},
    "seed": 3,
    "data": {
        "raw": ["a.jsonl", {"path": "b/{lang}.csv", "encoding": "latin-1", "split": "test"}],
        "columns": {"text": "review"},
        "keep": ["dialect"],
        "split": {"dev": 0.2, "test": 0.1},
        "steps": ["standardise", {"use": "langid", "min_confidence": 0.7}, {"use": "dedup", "threshold": 0.9}],
    },
    "train": {"langs": ["eng"], "mix": {"use": "temperature", "tau": 0.5}, "weights": "by_lang"},
    "evaluate": {"metrics": ["accuracy"], "slices": ["script", "dialect"], "resamples": 200, "source": "en"},
    "budget": {"seconds": 60.0},
    "gate": [
        {"at": "promote", "every_lang": {"accuracy": ">= 0.5", "n": ">= 10"}, "beats": {"majority": "accuracy"}},
        {"at": "prepare", "every_lang": {"lost": "<= 0.3"}},
    ],
}


def wrong(text: str, tmp_path: Path, *sets: str) -> RecipeError:
    file = tmp_path / "r.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        recipe.read(file, sets)
    return caught.value


def with_(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    place: Any = data
    for step in above:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return data


def test_a_good_recipe_round_trips() -> None:
    made = recipe.build(GOOD)
    assert made.langs == ["eng_Latn", "swh_Latn", "hin_Deva"]
    import tomllib

    again = recipe.build(tomllib.loads(made.to_toml()))
    assert again == made and again.to_toml() == made.to_toml()


def test_what_was_assumed_of_a_language_is_noted() -> None:
    made = recipe.build(with_("langs", ["en", "sr", "pt-BR"]))
    assert len(made.notes) == 2 and "srp_Cyrl" in made.notes[0] and "region" in made.notes[1]


@pytest.mark.parametrize(
    ("path", "value", "key", "words"),
    [
        ("model", "ngrm", "model", "there is no model family 'ngrm'; did you mean 'ngram'?"),
        ("model.scop", "lang", "model.scop", "the model family 'ngram' has no knob 'scop'; did you mean 'scope'?"),
        ("model.scope", "langs", "model.scope", "did you mean 'lang'?"),
        ("model.n_min", 0, "model.n_min", "n_min takes a number of at least 1, got 0"),
        ("model.n_min", "x", "model.n_min", 'n_min takes a whole number, got "x"'),
        ("model.n_min", True, "model.n_min", "n_min takes a whole number, got true"),
        ("model", 3, "model", "takes a table, got 3"),
        ("task", "clasify", "task", "there is no task 'clasify'; did you mean 'classify'?"),
        ("name", "a b", "name", "takes letters, digits"),
        ("name", "../x", "name", "takes letters, digits"),
        ("nmae", "x", "nmae", "there is no such key; did you mean 'name'?"),
        ("seed", 1.5, "seed", "takes a whole number, got 1.5"),
        ("seed", -1, "seed", "takes a number of at least 0, got -1"),
        ("langs", ["en", "eng"], "langs", "eng_Latn stands twice"),
        ("langs", ["Swahilli"], "langs.0", "'Swahilli' is no language we know"),
        ("langs", "en", "langs", None),
        ("langs", [], "langs", "takes at least 1 item, got []"),
        ("data.colums", {}, "data.colums", "there is no such key; did you mean 'columns'?"),
        ("data.columns", {"txt": "a"}, "data.columns.txt", "there is no such key; did you mean 'text'?"),
        ("data.raw", [], "data.raw", "takes at least 1 item"),
        ("data.raw", "a.jsonl", "data.raw", 'takes a list, got "a.jsonl"'),
        ("data.raw.1.fromat", "csv", "data.raw.1.fromat", "did you mean 'format'?"),
        ("data.raw.1.format", "cvs", "data.raw.1.format", "did you mean 'csv'?"),
        ("data.raw.1.encoding", "utf8000", "data.raw.1.encoding", "there is no text encoding 'utf8000'"),
        ("data.raw.1.encoding", "base64", "data.raw.1.encoding", "there is no text encoding 'base64'"),
        ("data.split", {"dev": 0.5, "test": 0.5}, "data.split", "leaves nothing for train"),
        ("data.split.dev", 1.0, "data.split.dev", "takes a number below 1.0, got 1.0"),
        ("data.split.dev", float("nan"), "data.split.dev", "takes a finite number"),
        ("data.keep", ["family"], "data.keep", "is a name that isogloss uses itself"),
        ("data.steps.0", "standardize", "data.steps.0", "did you mean 'standardise'?"),
        ("data.steps.1.min_confidence", 2, "data.steps.1.min_confidence", "takes a number of at most 1"),
        ("data.steps.2.ngram", 0, "data.steps.2.ngram", "takes a number of at least 1"),
        ("data.steps.2", "decontaminate", "data.steps.2", "needs the knob 'against' (list[Path])"),
        ("data.steps.2", "no.such", "data.steps.2", "there is no module 'no.such' to use as step"),
        ("data.steps.2", "os.path", "data.steps.2", "the step 'os.path' does not define apply"),
        ("train.mix", "temprature", "train.mix", "there is no mix 'temprature'; did you mean 'temperature'?"),
        ("train.weights", "bylang", "train.weights", "did you mean 'by_lang'?"),
        ("train.langs", ["deu"], "train.langs", "deu_Latn is not among the recipe's langs"),
        ("evaluate.metrics", ["f1_macro"], "evaluate.metrics.0", "there is no metric 'f1_macro'"),
        ("evaluate.metrics", ["no.such"], "evaluate.metrics.0", "there is no module 'no.such'"),
        ("evaluate.slices", ["dialekt"], "evaluate.slices.0", "did you mean 'dialect'?"),
        ("evaluate.baselines", ["majorty"], "evaluate.baselines.0", "did you mean 'majority'?"),
        ("evaluate.baselines", ["source", "source"], "evaluate.baselines", "source stands twice"),
        ("evaluate.source", "deu", "evaluate.source", "deu_Latn is not among the recipe's langs"),
        ("evaluate.confidence", 1, "evaluate.confidence", "takes a number below 1.0"),
        ("budget.seconds", 0, "budget.seconds", "takes a number above 0"),
        ("budget.second", 1, "budget.second", "did you mean 'seconds'?"),
        ("gate.0.at", "promotion", "gate.0.at", "did you mean 'promote'?"),
        ("gate.0.every_lang", {"acuracy": ">= 1"}, "gate.0.every_lang.acuracy", "did you mean 'accuracy'?"),
        ("gate.0.every_lang", {"accuracy": "0.5"}, "gate.0.every_lang.accuracy", "is not a condition"),
        ("gate.0.every_lang", {"accuracy": 0.5}, "gate.0.every_lang.accuracy", "takes a string, got 0.5"),
        ("gate.0.beats", {"majorty": "accuracy"}, "gate.0.beats.majorty", "did you mean 'majority'?"),
        ("gate.1.every_lang", {"accuracy": ">= 0.5"}, "gate.1.every_lang.accuracy", "at prepare there is only 'lost'"),
        ("gate", [{"at": "promote"}], "gate.0", "the gate asks nothing"),
        ("gate", {"at": "promote"}, "gate", "takes a list"),
    ],
)
def test_an_error_names_file_line_key_and_the_nearest_right_name(
    tmp_path: Path, path: str, value: Any, key: str, words: str | None
) -> None:
    text = tomli_w.dumps(with_(path, value))
    error = wrong(text, tmp_path)
    assert error.key == key
    assert error.line == line_of(text, [int(step) if step.isdecimal() else step for step in key.split(".")])
    assert str(error).startswith(f"{tmp_path / 'r.toml'}:{error.line}: {key}: ")
    assert words is None or words in str(error)
    assert "\n" not in str(error)


def test_several_errors_are_a_line_each(tmp_path: Path) -> None:
    text = 'nam = "x"\nmodel = "ngram"\nlangs = ["en"]\n\n[data]\nraw = ["a"]\nsteps = 3\n'
    places = [line.split(": ")[:2] for line in str(wrong(text, tmp_path)).splitlines()]
    file = str(tmp_path / "r.toml")
    assert places == [[file, "name"], [f"{file}:7", "data.steps"], [f"{file}:1", "nam"]]
    text = 'name = "x"\nmodel = "ngrm"\n[data]\nraw = ["a"]\nsteps = [\n  "dedup",\n  {use = "dedup", ngram = 0},\n]\n'
    said = str(wrong(text, tmp_path)).splitlines()
    assert [line.split(": ")[0] for line in said] == [f"{file}:2", f"{file}:7"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name = \n", 1, "is not valid TOML"),
        ('name = "x"\nname = "y"\n', 2, "is not valid TOML"),
        ("name = " + "[" * 5000, None, "is not valid TOML"),
        ("seed = " + "9" * 5000, None, "is not valid TOML"),
        ("", None, "name: is required"),
        ("\ufeff", None, "name: is required"),
    ],
)
def test_bad_toml(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    error = wrong(text, tmp_path)
    assert error.line == line and words in str(error)


def test_what_is_no_recipe_file(tmp_path: Path) -> None:
    (tmp_path / "reviews.toml").touch()
    (tmp_path / "x.bin").write_bytes(b"\xff\x00\x81")
    for path, words in (
        ("review.toml", "there is no recipe .*review.toml; did you mean 'reviews.toml'"),
        (".", "is a folder"),
        ("x.bin", "is not UTF-8 text"),
        ("a\0b", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("reviews.toml/x", "cannot be read"),
    ):
        with pytest.raises(RecipeError, match=words):
            recipe.read(tmp_path / path)


@pytest.mark.parametrize(
    ("item", "get", "value"),
    [
        ("seed=5", lambda r: r.seed, 5),
        ("name=other", lambda r: r.name, "other"),
        ("train.weights=by_lang", lambda r: r.train.weights, "by_lang"),
        ('train.langs=["en", "hi"]', lambda r: r.train.langs, ["eng_Latn", "hin_Deva"]),
        ("data.split={dev = 0.3, test = 0.3}", lambda r: r.data.split.dev, 0.3),
        ("data.split.dev=0.25", lambda r: r.data.split.dev, 0.25),
        ("train.mix.tau=0.3", lambda r: r.train.mix.knobs, {"tau": 0.3}),
        ("data.raw.0=c.jsonl", lambda r: r.data.raw[0].path, "c.jsonl"),
        ("data.raw.0.lang=en", lambda r: (r.data.raw[0].path, r.data.raw[0].lang), ("a.jsonl", "eng_Latn")),
        ("data.steps.0.form=NFKC", lambda r: r.data.steps[0].knobs, {"form": "NFKC"}),
        ("data.steps.2.threshold=0.5", lambda r: r.data.steps[2].knobs, {"threshold": 0.5}),
        ("gate.1.every_lang.lost=<= 0.1", lambda r: r.gate[1].every_lang, {"lost": "<= 0.1"}),
        ("budget={}", lambda r: r.budget.seconds, None),
    ],
)
def test_set(item: str, get: Any, value: Any) -> None:
    assert get(recipe.build(GOOD, sets=[item])) == value


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("seed", "--set takes key=value, got 'seed'"),
        ("=3", "--set takes key=value"),
        ("a..b=3", "--set takes key=value"),
        ("seeds=3", "--set seeds: there is no such key; did you mean 'seed'?"),
        ("seed.x=3", "--set seed"),
        ("seed=", "--set seed: takes a whole number"),
        ("seed=1\nname='x'", "--set seed: takes a whole number"),
        ("data.steps.9=dedup", "'9' is no position in a list of 3"),
        ("data.steps.x=dedup", "'x' is no position"),
        ("train.mix.tua=1", "--set train.mix.tua: the mix 'temperature' has no knob 'tua'; did you mean 'tau'?"),
        ("seed=\udcff", "--set seed"),
        ("seed=" + "[" * 5000, "--set seed"),
    ],
)
def test_set_in_error(item: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.build(GOOD, sets=[item])
    assert words in str(caught.value)


def places_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places_of(item, (*path, key)))]


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["all", "ngram", "encoder", "lang", "..", "os", ">= 1", "en", "isogloss.core.recipe"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(places_of(GOOD)[1:]), st.sampled_from("srd"), JUNK), min_size=1, max_size=3))
def test_any_mangled_recipe_is_a_recipe_or_a_recipe_error(changes: list[tuple[tuple[Any, ...], str, Any]]) -> None:
    data = copy.deepcopy(GOOD)
    for path, what, junk in changes:
        place: Any = data
        try:
            for step in path[:-1]:
                place = place[step]
            if what == "s":
                place[path[-1]] = junk
            elif what == "d":
                del place[path[-1]]
            elif isinstance(place, dict):
                place[str(path[-1]) + "x"] = place.pop(path[-1])
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took it away
    try:
        made = recipe.build(data)
    except RecipeError as error:
        assert str(error).strip() and "pydantic" not in str(error)
    else:
        assert recipe.build(json.loads(made.model_dump_json(exclude_none=True))) == made


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.lists(st.text(max_size=10) | st.integers(0, 3), max_size=4))
def test_the_search_for_a_line_never_fails(text: str, path: list[Any]) -> None:
    line = line_of(text, path)
    assert line is None or 1 <= line <= text.count("\n") + 1


def test_the_line_of_an_item_of_a_list() -> None:
    text = (
        'data.steps = [ # [a, "comment"]\n  {use = "a, ]", n = 1},\n  {use = "b",\n   n = 2},\n  "c"\n]\n'
        '[[gate]]\nat = "x"\n[[gate]]\nat = "y"\nmean = {f1 = 1}\n'
    )
    wanted = {
        ("data", "steps", 0, "n"): 2,
        ("data", "steps", 1, "n"): 4,
        ("data", "steps", 2): 5,
        ("data", "steps", 7): 1,
        ("gate", 0, "at"): 8,
        ("gate", 1, "at"): 10,
        ("gate", 1, "mean", "f1"): 11,
        ("model",): None,
    }
    assert {path: line_of(text, path) for path in wanted} == wanted


def test_a_wrong_recipe_is_refused_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    for path, value in (("model.scop", 1), ("gate.0.mean", {"acc": ">= 1"}), ("data.steps.1.min", 1)):
        bad.write_text(tomli_w.dumps(with_(path, value)))
        code = (
            "import sys; from isogloss.cli import _guarded; "
            f"code = _guarded(['run', {str(bad)!r}]); "
            "print(code, *[m for m in ('torch', 'polars', 'numpy', 'sklearn', 'pyarrow') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.strip() == "2", done.stdout + done.stderr


@pytest.mark.parametrize("value", [{1: 2}, {("a",): 1}, [], {"name": object()}, {"data": {"raw": {1, 2}}}])
def test_a_mapping_that_is_no_toml(value: Any) -> None:
    with pytest.raises(RecipeError):
        recipe.build(value)


def test_frozen() -> None:
    made = recipe.build(GOOD)
    with pytest.raises(Exception, match="frozen"):
        made.seed = 4  # type: ignore[misc]
    assert isinstance(made, Recipe)


@pytest.mark.parametrize("name", ["isogloss/mini", "FacebookAI/xlm-roberta-base", "./my-model", "/models/x"])
def test_a_model_with_a_slash_is_an_encoder(name: str) -> None:
    value = {**GOOD, "model": name}
    assert recipe.build(value).model == recipe.build({**GOOD, "model": {"use": "encoder", "name": name}}).model
    made = recipe.build(value, sets=["model.revision=main"]) if name[0] not in "./" else recipe.build(value)
    assert made.model.knobs["name"] == name
    assert recipe.build(GOOD, sets=[f"model={name}"]).model.use == "encoder"


def test_a_model_of_the_package_that_there_is_not(tmp_path: Path) -> None:
    text = tomli_w.dumps({"name": "x", "model": "isogloss/mimi", "data": {"raw": ["a.jsonl"]}})
    error = wrong(text, tmp_path)
    assert (
        str(error)
        == f"{tmp_path / 'r.toml'}:2: model: the package has no model 'isogloss/mimi'; did you mean 'isogloss/mini'?"
    )
    assert error.exit_code == 2
    code = f"import sys; from isogloss.cli import _guarded; _guarded(['run', {str(tmp_path / 'r.toml')!r}]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "False"
