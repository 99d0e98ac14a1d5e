"""init: any table gives a recipe that loads or one clear sentence; columns, languages, splits and weak spots are found."""

from __future__ import annotations

import csv
import json
import random
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from isogloss.core import recipe
from isogloss.core.errors import DataError, InputError, PlaceError
from isogloss.core.readers import expand
from isogloss.core.say import Say
from isogloss.stages import chain, explain
from isogloss.stages.drafting import guess, survey
from isogloss.stages.init import STDOUT, Proposal, _name, init, lines
from places import Said

SENTENCES = {
    "eng_Latn": "the clinic opens at eight and doctor sees every child first please bring your card with you tomorrow",
    "swh_Latn": "zahanati hufunguliwa saa mbili asubuhi na daktari huona watoto kwanza tafadhali leta kadi yako kesho",
    "hin_Deva": "क्लिनिक सुबह आठ बजे खुलता है और डॉक्टर पहले बच्चों को देखते हैं कृपया अपना कार्ड साथ लाएँ",
}
WORDS = {lang: sentence.split() for lang, sentence in SENTENCES.items()}
KEYS = explain.keys()
LABELS = ("appointment", "billing", "results")


def texts(lang: str, n: int, seed: int = 0, length: int = 14) -> list[str]:
    rng = random.Random(f"{lang}{seed}")
    return [" ".join(rng.choices(WORDS[lang], k=length)) + f" {i}" for i in range(n)]


def rows(n: int = 60, langs: Sequence[str] = tuple(WORDS), labels: Sequence[str] = LABELS) -> list[dict[str, Any]]:
    """`n` rows a language, parallel, without splits."""
    return [
        {"id": f"{lang}-{i}", "text": text, "label": labels[i % len(labels)], "lang": lang, "group": f"g{i}"}
        for lang in langs
        for i, text in enumerate(texts(lang, n))
    ]


def jsonl(path: Path, rows: Sequence[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return str(path)


def called(rows: Sequence[dict[str, Any]], **names: str | None) -> list[dict[str, Any]]:
    """Rows with other names for their columns; None leaves one out."""
    return [{names.get(k, k): v for k, v in row.items() if names.get(k, k)} for row in rows]  # type: ignore[misc]


def look(file: str) -> Proposal:
    made = init(file, out=STDOUT)
    assert made.path is None
    return made


def built(made: Proposal) -> recipe.Recipe:
    return recipe.build(tomllib.loads(made.text))


def kinds(made: Proposal) -> dict[str, str]:
    return {finding.kind: finding.text for finding in made.findings}


# -- the recipe -------------------------------------------------------------------------------------------------


def test_it_writes_a_recipe_that_loads_and_names_every_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = init(jsonl(tmp_path / "My reviews (2).jsonl", rows()))
    assert made.path == Path("My-reviews-2.toml")
    read = recipe.read(made.path)
    assert read.name == "My-reviews-2" and read.langs == sorted(WORDS)
    text = made.path.read_text("utf-8")
    assert text == made.text
    for entry in KEYS:
        last = entry.name.rpartition(".")[2]
        inline = entry.name.startswith(("data.raw.", "data.split.", "train.stop.", "train.keep.", "train.shots."))
        assert (
            inline
            or entry.kind == "section"
            or entry.name == "gate"
            or f"\n{last} = " in text
            or f"\n#{last} = " in text
        )
    assert all(len(line) <= 125 for line in text.splitlines() if line.startswith("# ") and str(tmp_path) not in line)


def test_every_line_that_is_commented_out_is_toml_too(tmp_path: Path) -> None:
    made = look(jsonl(tmp_path / "a.jsonl", rows()))
    keys = [
        line[1:]
        for line in made.text.splitlines()
        if line.startswith("#") and not line.startswith(("# ", "#\n")) and len(line) > 1
    ]
    assert len(keys) > 15
    for line in keys:
        assert tomllib.loads(line)


@pytest.mark.parametrize("shape", ["split dealt", "split given", "no language", "one language", "large groups"])
def test_the_chain_runs_on_it_at_once(tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows(40)
    if shape == "split given":
        data = [{**row, "fold": ("training", "valid", "test")[i % 3]} for i, row in enumerate(data)]
    if shape == "large groups":
        data = [{**row, "group": f"g{int(i**1.6) // 40}"} for i, row in enumerate(rows(200))]
    if shape == "no language":
        data = called(data, lang=None, group=None, id=None)
    if shape == "one language":
        data = called([row for row in data if row["lang"] == "swh_Latn"], text="review", label="stars", lang="locale")
    monkeypatch.chdir(tmp_path)
    made = init(jsonl(tmp_path / "data.jsonl", data))
    assert made.path is not None
    outcome = chain.run(
        made.path, sets=["evaluate.resamples=200", 'evaluate.baselines=["majority"]'], runs=tmp_path / "runs"
    )
    n = {row["key"]: row["n"] for row in outcome.scores.filter(metric="macro_f1", by="lang", system="model").to_dicts()}
    assert set(n) == set(made.plan.langs)
    asked = int(built(made).gate[0].every_lang["n"].split()[1])
    assert min(n.values()) >= asked, "the number of rows that the gate asks for can be reached"


def test_it_never_overwrites_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = jsonl(tmp_path / "a.jsonl", rows(20))
    Path("a.toml").write_text("mine")
    with pytest.raises(PlaceError, match="--force"):
        init(file)
    assert Path("a.toml").read_text() == "mine"
    assert init(file, force=True).path == Path("a.toml")
    assert Path("a.toml").read_text("utf-8").startswith("# A recipe")
    before = sorted(tmp_path.iterdir())
    assert look(file).text == Path("a.toml").read_text("utf-8")
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(InputError, match="--name"):
        init(file, name="a b")
    assert init(file, name="b").path == Path("b.toml")


def test_the_recipe_finds_the_data_from_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "data" / "a.jsonl", rows(20))
    made = init("data/a.jsonl", out=Path("recipes/x/a.toml"))
    assert made.path is not None
    read = recipe.read(made.path)
    assert read.data.raw[0].path == "../../data/a.jsonl"
    monkeypatch.chdir("/")
    assert read.locate(read.data.raw[0].path).resolve() == tmp_path / "data" / "a.jsonl"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("x/Reviews.v2.jsonl.gz", "Reviews.v2"),
        ("data/", "data"),
        ("données/été.csv", "t"),
        ("data/*.csv", "data"),
        ("...csv", "recipe"),
        ("a" * 300 + ".csv", "a" * 60),
        ("isogloss/clinic", "clinic"),
    ],
)
def test_names(file: str, name: str) -> None:
    assert _name(file) == name
    recipe.build({"name": _name(file), "model": "ngram", "data": {"raw": ["x"]}})


# -- columns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "mapped"),
    [
        ({}, {}),
        ({"text": "review", "label": "stars", "lang": "language"}, {"text": "review", "label": "stars", "lang": "language"}),
        ({"text": "utterance", "label": "intent", "lang": "locale"}, {"text": "utterance", "label": "intent", "lang": "locale"}),
        ({"text": "Tweet Text", "label": "Sentiment", "group": "index_id"}, {"text": "Tweet Text", "label": "Sentiment", "group": "index_id"}),
        ({"text": "s", "lang": "wo", "label": "which"}, {"text": "s", "lang": "wo", "label": "which"}),
        ({"text": "sentence", "label": "category", "id": "uid"}, {"text": "sentence", "label": "category", "id": "uid"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_columns_by_name_and_content(
    tmp_path: Path, names: dict[str, str], mapped: dict[str, str], ending: str
) -> None:
    import polars as pl

    data = called(rows(30), **names)
    path = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        jsonl(path, data)
    elif ending == "csv":
        with path.open("w", newline="", encoding="utf-8-sig") as handle:
            writer = csv.DictWriter(handle, list(data[0]), delimiter=";")
            writer.writeheader()
            writer.writerows(data)
    else:
        pl.DataFrame(data).write_parquet(path)
    made = look(str(path))
    assert built(made).data.columns == mapped
    assert made.seen.n_rows == 90 and made.seen.n_aside == 0


def test_an_id_that_translations_share_is_the_group(tmp_path: Path) -> None:
    data = called([{**row, "id": row["group"]} for row in rows(30)], group=None)
    made = look(jsonl(tmp_path / "a.jsonl", data))
    assert built(made).data.columns == {"group": "id", "id": ""}
    assert made.plan.parallel and "ties translations" in kinds(made)["parallel"]


def test_an_id_that_only_repeats_is_not_used(tmp_path: Path) -> None:
    data = [{**row, "id": i % 7} for i, row in enumerate(called(rows(30), group=None))]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    assert built(made).data.columns == {"id": ""}


def test_a_group_of_few_values_is_not_used(tmp_path: Path) -> None:
    data = [{**row, "group": "young" if i % 2 else "old"} for i, row in enumerate(rows(30))]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    assert built(made).data.columns["group"] == ""
    assert "ties no translations" in kinds(made)["group"]


def test_ids_that_share_a_stem_are_reported(tmp_path: Path) -> None:
    data = [{**row, "id": f"{row['group']}-{row['lang'][:2]}"} for row in called(rows(30), lang="lang")]
    made = look(jsonl(tmp_path / "a.jsonl", [{k: v for k, v in row.items() if k != "group"} for row in data]))
    assert "share a stem" in kinds(made)["maybe parallel"] and "'g0-en'" in kinds(made)["maybe parallel"]


def test_a_column_that_only_sounds_like_a_split(tmp_path: Path) -> None:
    data = [{**row, "fold": i % 5} for i, row in enumerate(rows(30))]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    assert "split" not in built(made).data.columns and not made.plan.given_split
    assert "'fold'" in kinds(made)["columns"]


def test_slices_are_suggested(tmp_path: Path) -> None:
    data = [{**row, "dialect": "ab"[i % 2]} for i, row in enumerate(rows(30))]
    assert '#keep = ["dialect"]' in look(jsonl(tmp_path / "a.jsonl", data)).text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": None}, "no column looks like text"),
        ({"label": None}, "no column looks like a label"),
        ({"text": None, "label": None, "lang": None, "group": None, "id": None}, "no row can be read"),
    ],
)
def test_what_cannot_be_guessed_is_one_sentence(tmp_path: Path, change: dict[str, None], said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        look(jsonl(tmp_path / "a.jsonl", called(rows(30), **change)))
    assert "\n" not in str(error.value)


def test_labels_that_are_none(tmp_path: Path) -> None:
    same = [{**row, "label": "yes"} for row in rows(30)]
    with pytest.raises(DataError, match="every row has the label 'yes'"):
        look(jsonl(tmp_path / "a.jsonl", same))
    free = [{**row, "label": f"answer {i}"} for i, row in enumerate(rows(30))]
    with pytest.raises(DataError, match="which makes no label"):
        look(jsonl(tmp_path / "b.jsonl", free))


# -- places -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "wanted", "found"),
    [
        (["eng_Latn/train.tsv", "swh_Latn/train.tsv"], {"lang", "split"}, "{lang}/train.tsv"),
        (["en/train.csv", "en/test.csv", "sw/train.csv", "sw/test.csv"], {"lang", "split"}, "{lang}/{split}.csv"),
        (["train.en.jsonl", "dev.en.jsonl", "train.sw.jsonl", "dev.sw.jsonl"], {"lang", "split"}, "{split}.{lang}.jsonl"),
        (["amh_Ethi.jsonl", "eng_Latn.jsonl"], {"lang"}, "{lang}.jsonl"),
        (["en/pos/1.txt", "en/neg/2.txt", "sw/pos/3.txt"], {"lang", "split", "label"}, "{lang}/{label}/*.txt"),
        (["a.jsonl", "b.jsonl"], {"split"}, None),
        (["en/x.csv", "sw.csv"], {"lang"}, None),
        (["en.csv"], {"lang"}, None),
        (["en.csv", "sw.jsonl"], {"lang"}, None),
        (["shop/en.csv", "bank/sw.csv"], {"lang"}, "*/{lang}.csv"),
    ],
)  # fmt: skip
def test_what_the_place_of_files_says(tmp_path: Path, paths: list[str], wanted: set[str], found: str | None) -> None:
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    raws = expand(tmp_path, "x", format=None, encoding="utf-8", rows=None, given={})
    named = guess.pattern(tmp_path, raws, wanted)
    assert named == found
    if named:
        again = expand(tmp_path / named, "x", format=None, encoding="utf-8", rows=None, given={})
        assert {raw.path for raw in again} == {raw.path for raw in raws}


def test_folders_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for row in rows(30):
        file = tmp_path / "lists" / row["lang"] / f"{row['label']}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as handle:
            handle.write(row["text"] + "\n")
        file = tmp_path / "docs" / row["lang"] / row["label"] / f"{row['id']}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(row["text"], "utf-8")
    lists, docs = look("lists"), look("docs")
    assert built(lists).data.raw[0].path == "lists/{lang}/{label}.txt" and built(lists).data.raw[0].rows == "lines"
    assert built(docs).data.raw[0].path == "docs/{lang}/{label}/*.txt" and built(docs).data.raw[0].rows is None
    for made in (lists, docs):
        assert (
            made.seen.n_rows == 90 and made.plan.langs == sorted(WORDS) and sorted(made.plan.labels) == sorted(LABELS)
        )


def test_a_split_in_the_place_that_lacks_test_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i, row in enumerate(rows(30)):
        file = tmp_path / "d" / row["lang"] / f"{('train', 'dev')[i % 2]}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(called([row], lang=None)[0], ensure_ascii=False) + "\n")
    made = look("d")
    assert built(made).data.raw[0].path == "d/{lang}/*.jsonl"
    assert "no test rows" in kinds(made)["split"]


def test_the_bundled_sample() -> None:
    made = look("isogloss/clinic")
    assert built(made).data.raw[0].path == "isogloss/clinic" and len(made.plan.langs) > 10 and made.plan.given_split


# -- languages and splits ---------------------------------------------------------------------------------------


def test_languages_as_people_write_them(tmp_path: Path) -> None:
    codes = {"eng_Latn": "English", "swh_Latn": "sw", "hin_Deva": "hi-IN"}
    data = [{**row, "lang": codes[row["lang"]]} for row in rows(30)]
    data += [{"id": "z", "text": "车站路的诊所早上八点开门", "label": "billing", "lang": "zh"}] * 1
    data += [{"id": f"q{i}", "text": "what", "label": "billing", "lang": "xx"} for i in range(3)]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    assert made.plan.langs == sorted(codes)
    assert made.plan.left_out == {"zho_Hans": 1} and '#"zho_Hans"' in made.text
    found = kinds(made)
    assert "'xx'" in found["set aside"] and "3 rows" in found["set aside"]
    assert "zho_Hans" in found["few rows"]
    assert any("zho_Hans" in finding.text and finding.kind == "language" for finding in made.findings)


def test_language_that_nobody_names(tmp_path: Path) -> None:
    made = look(jsonl(tmp_path / "a.jsonl", called(rows(40), lang=None)))
    assert made.plan.langs == sorted(WORDS) and made.plan.detect
    assert built(made).data.steps[1].use == "langid"
    assert made.findings[0].kind == "language" and made.findings[0].severity == 1
    one = look(jsonl(tmp_path / "b.jsonl", called(rows(40, ["swh_Latn"]), lang=None)))
    assert built(one).data.raw[0].lang == "swh_Latn" and one.plan.langs == ["swh_Latn"]
    some = [row if i % 4 else called([row], lang=None)[0] for i, row in enumerate(rows(40))]
    partly = look(jsonl(tmp_path / "c.jsonl", some))
    assert "name no language" in kinds(partly)["language"] and partly.plan.detect
    signs = [{"text": "🙂" * 3 + f"é{i}", "label": "ab"[i % 2]} for i in range(60)]
    with pytest.raises(DataError, match="none can be told"):
        look(jsonl(tmp_path / "d.jsonl", signs))


def test_a_language_that_reads_as_another_is_named_and_langid_left_out(tmp_path: Path) -> None:
    data = [{**row, "lang": "tam_Taml" if row["lang"] == "hin_Deva" else row["lang"]} for row in rows(60)]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    (doubt,) = [finding for finding in made.findings if finding.kind == "language doubted"]
    assert doubt.severity == 1 and doubt.langs == ("tam_Taml",) and not made.plan.langid
    assert '#"langid",' in made.text and "langid" not in [use.use for use in built(made).data.steps]


@pytest.mark.parametrize(
    ("splits", "kept", "severity"),
    [
        (("train", "dev", "test"), True, None),
        (("train", "test"), True, None),
        (("train", "dev"), False, 1),
        (("test",), False, 1),
        (("dev", "test"), False, 1),
        (("train", "test", None), True, None),
    ],
)
def test_given_splits(tmp_path: Path, splits: tuple[str | None, ...], kept: bool, severity: int | None) -> None:
    data = [{**row, "split": splits[i % 30 % len(splits)]} for i, row in enumerate(rows(30))]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    assert made.plan.given_split is kept
    assert built(made).data.columns.get("split") == (None if kept else "")
    assert next((f.severity for f in made.findings if f.kind == "split"), None) == severity
    assert ("no dev rows" in kinds(made)) is (kept and "dev" not in splits and None not in splits)


# -- weak spots -------------------------------------------------------------------------------------------------


def test_skew_of_sizes_and_labels(tmp_path: Path) -> None:
    data = rows(300, ["eng_Latn"]) + rows(40, ["hin_Deva"]) + rows(20, ["swh_Latn"])
    data = [{**row, "label": "billing"} if row["lang"] == "hin_Deva" and i % 9 else row for i, row in enumerate(data)]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    found = {finding.kind: finding for finding in made.findings}
    assert found["labels skewed"].langs == ("hin_Deva",)
    assert "15 times apart" in found["sizes skewed"].text
    assert built(made).train.mix.use == "temperature"
    assert "swh_Latn 6" in found["few test rows"].text and found["few test rows"].langs[0] == "swh_Latn"
    even = look(jsonl(tmp_path / "b.jsonl", rows(40)))
    assert built(even).train.mix.use == "natural" and not {"sizes skewed", "labels skewed"} & set(kinds(even))


def test_labels_missing_rare_and_alike(tmp_path: Path) -> None:
    data = [row for row in rows(60) if not (row["lang"] == "swh_Latn" and row["label"] == "billing")]
    for i in range(3):
        data[i] = {**data[i], "label": "Results "}
        data[i + 10] = {**data[i + 10], "label": "urgent"}
    data[20] = {**data[20], "label": "RESULTS"}
    found = kinds(look(jsonl(tmp_path / "a.jsonl", data)))
    assert "swh_Latn lacks 'billing'" in found["labels missing"]
    assert "'urgent' 3" in found["rare labels"]
    assert "'results'" in found["labels alike"] and "'RESULTS'" in found["labels alike"]


def test_copies_and_conflicts_across_splits(tmp_path: Path) -> None:
    data = [{**row, "split": ("train", "dev", "test")[i % 3]} for i, row in enumerate(called(rows(60), group=None))]
    tests = [row for row in data if row["split"] == "test" and row["lang"] == "swh_Latn"]
    data += [{**row, "id": f"c{i}", "split": "train", "text": row["text"].upper()} for i, row in enumerate(tests[:7])]
    near = "zahanati hufunguliwa saa mbili asubuhi na daktari huona watoto kwanza tafadhali leta kadi yako"
    data += [{"id": "n1", "text": near, "split": "test", "lang": "sw", "label": "billing"}]
    data += [{"id": "n2", "text": near + "!!", "split": "train", "lang": "sw", "label": "results"}]
    data += [{**tests[0], "id": "d1", "label": "appointment" if tests[0]["label"] != "appointment" else "billing"}]
    made = look(jsonl(tmp_path / "a.jsonl", data))
    assert made.seen.copies.n_across == 7 and made.seen.copies.n_conflicts >= 1
    found = {finding.kind: finding for finding in made.findings}
    assert found["copies across splits"].severity == 1
    assert found["near-duplicates across splits"].langs[0] == "swh_Latn"
    assert "labels conflict" in found


def test_groups_that_straddle_given_splits(tmp_path: Path) -> None:
    data = [{**row, "split": ("train", "dev", "test")[i % 4 % 3]} for i, row in enumerate(rows(31))]
    found = {finding.kind: finding for finding in look(jsonl(tmp_path / "a.jsonl", data)).findings}
    assert found["groups straddle"].severity == 1
    whole = [{**row, "split": ("train", "dev", "test")[int(row["group"][1:]) % 3]} for row in rows(31)]
    assert "groups straddle" not in kinds(look(jsonl(tmp_path / "b.jsonl", whole)))


def test_texts_that_are_long_garbled_or_broken(tmp_path: Path) -> None:
    data = rows(30)
    data[0] = {**data[0], "text": "I donâ€™t know, itâ€™s cafÃ© time â€“ really."}
    data[1] = {**data[1], "text": "lost \ufffd sign"}
    data[2] = {**data[2], "text": "word " * 900}
    file = jsonl(tmp_path / "a.jsonl", data)
    with Path(file).open("a", encoding="utf-8") as handle:
        handle.write('{"text": "half\n{"text": "  ", "lang": "en", "label": "billing"}\n{"text": 3}\n[1]\n')
    made = look(file)
    found = kinds(made)
    assert {"garbled", "replaced", "long", "set aside"} <= set(found)
    assert made.seen.n_aside == 4
    assert all(finding.text.endswith(".") and "\n" not in finding.text for finding in made.findings)


def test_worst_first(tmp_path: Path) -> None:
    data = [{**row, "split": "test"} for row in rows(30)] + [{"id": "x"}]
    severities = [finding.severity for finding in look(jsonl(tmp_path / "a.jsonl", data)).findings]
    assert severities == sorted(severities) and severities[0] == 1


# -- bounds -----------------------------------------------------------------------------------------------------


def test_the_order_of_the_file_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "SAMPLE", 60)
    monkeypatch.setattr(survey, "OF_A_LANG", 40)
    data = rows(80)
    first = look(jsonl(tmp_path / "a.jsonl", data))
    random.Random(5).shuffle(data)
    other = look(jsonl(tmp_path / "a.jsonl", data))
    assert len(first.seen.sample) == 60
    assert {row["text"] for row in first.seen.sample} == {row["text"] for row in other.seen.sample}
    assert first.text == other.text


def test_memory_is_bounded_by_hashing_and_copies_are_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "HELD", 100)
    copies = survey.Copies()
    for _ in range(2):
        for i in range(2000):
            copies.add(survey._mark(str(i)), "train", "a")
    assert len(copies.held) <= 100 and 0.01 < copies.share < 0.1
    assert copies.n_within >= 0.9 * len(copies.held)
    ties = survey.Ties("id")
    for i in range(2000):
        for lang in ("a", "b"):
            ties.add(str(i), lang, "")
    assert len(ties.rows) <= 51 and ties.parallel and ties.langs_each == 2


def test_a_large_file_is_read_in_part_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey.survey, "__defaults__", (50,))
    made = look(jsonl(tmp_path / "a.jsonl", rows(40)))
    assert not made.seen.complete and made.seen.n_rows == 50
    assert built(made).langs == "all"
    assert any("first 50 rows" in finding.text for finding in made.findings)


# -- anything ---------------------------------------------------------------------------------------------------

NAMES = ["text", "label", "lang", "split", "group", "id", "source", "license", "fold", "score", "tags", "x", "drop", "", "näme ü", "a.b", "stars", "locale"]  # fmt: skip
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**20)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        [
            "train",
            "test",
            "dev",
            "en",
            "sw",
            "hi",
            "zh",
            "xx",
            "no",
            "yes",
            "pos",
            "neg",
            "A good long sentence about the clinic.",
            "\x00",
            "\ufeff",
            "a\nb",
            "ﷺ",
            "𐏿",
            "\u202e",
        ]
    )
    | st.text(max_size=20)
    | st.lists(st.text(max_size=3), max_size=2)
)


def test_odd_characters_in_names_and_labels_keep_the_recipe_whole(tmp_path: Path) -> None:
    data = called(rows(30), text='the "te\\xt"\n', label="la\x07bel\x7f", lang="l\ud800ng", group=None)
    data = [{**row, "lang": row["l\ud800ng"]} for row in data]
    for i, label in enumerate(("a\x07\nb", "A\x07 b", 'q"q')):
        data[i] = {**data[i], "la\x07bel\x7f": label}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data), "utf-8")
    made = init(str(tmp_path / "a.jsonl"), out=tmp_path / "odd.toml")
    assert recipe.read(tmp_path / "odd.toml").data.columns == {"text": 'the "te\\xt"\n', "label": "la\x07bel\x7f"}
    assert "labels alike" in kinds(made) and "⟨U+0007⟩" in made.text


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "parquet", "tsv", "txt", "jsonl.gz"])
@settings(max_examples=15, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_give_one_sentence(content: bytes, ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / f"a.{ending}").write_bytes(content)
    with pytest.raises(InputError) as error:
        init(str(folder / f"a.{ending}"), out=STDOUT)
    assert str(error.value) and "\n" not in str(error.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(table=st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=7), max_size=14), csv_file=st.booleans())
@example(table=[{"text": "one two three", "label": "a", "lang": "en"}, {"text": "four five six", "label": "b", "lang": "en"}], csv_file=False)  # fmt: skip
@example(table=[{"text": f"one two {i}", "label": "ab"[i % 2], "lang": "en", "split": ["train", "test"][i % 2]} for i in range(14)], csv_file=True)  # fmt: skip
def test_any_table_gives_a_recipe_or_one_sentence(
    table: list[dict[str, Any]], csv_file: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    if csv_file:
        file = str(folder / "a.csv")
        with (folder / "a.csv").open("w", newline="", encoding="utf-8", errors="replace") as handle:
            writer = csv.DictWriter(handle, NAMES)
            writer.writeheader()
            writer.writerows(table)
    else:
        file = jsonl(folder / "a.jsonl", table)
    try:
        made = init(file, out=folder / "a.toml")
    except InputError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 600
        assert not (folder / "a.toml").exists()
        return
    read = recipe.read(folder / "a.toml")
    assert read.name == "a" and (read.langs == "all" or set(read.langs) == set(made.plan.langs))
    json.dumps(made.document())
    for width in (40, 100):
        lines(made, width)


SLOW = ("sib200", "afrisenti", "injongo_intent_slots", "hatecheck")


@pytest.mark.parametrize(
    "pack",
    [*(pytest.param(pack, marks=pytest.mark.slow) for pack in SLOW), "nusax_senti", "multifin", "xcopa"],
)
def test_real_packs(shared: Path, pack: str) -> None:
    made = look(str(shared / f"{pack}.parquet"))
    read = built(made)
    assert set(read.data.columns.values()) <= {""}, "these packs have our names already"
    assert made.plan.given_split is (pack not in ("hatecheck", "xcopa"))
    assert made.plan.parallel is (pack in ("sib200", "nusax_senti", "xcopa"))
    assert [use.use for use in read.data.steps] == ["standardise", "langid", "dedup"]
    if pack == "sib200":
        assert (
            len(made.plan.langs) == 61 and made.plan.n_gate == 190 and not [f for f in made.findings if f.severity == 1]
        )
    if pack == "multifin":
        assert {"few test rows", "labels skewed", "sizes skewed", "copies across splits"} <= set(kinds(made))
    if pack == "afrisenti":
        assert "gaz_Latn" in kinds(made)["no train rows"]


# -- the screen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_text_fits_the_terminal(tmp_path: Path, width: int) -> None:
    made = look(jsonl(tmp_path / "a.jsonl", [*rows(30), {"id": "x"}]))
    for line in lines(made, width):
        assert len(line) <= width or " " not in line.strip(), line


def test_progress_is_said(tmp_path: Path) -> None:
    said = set[str]()

    class Heard(Say):
        def progress(self, what: str, done: int, total: int | None = None, unit: str = "") -> None:
            said.add(what)

    init(jsonl(tmp_path / "a.jsonl", rows(1700)), out=STDOUT, say=Heard())
    assert said == {"looking", "checking"}


def test_the_command(cli: Callable[..., Said], tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", rows(30))
    said = cli("init", "a.jsonl")
    assert said.code == 0 and "wrote a.toml" in said.out and (tmp_path / "a.toml").exists()
    refused = cli("init", "a.jsonl")
    assert refused.code == 2 and "--force" in refused.err
    shown = cli("init", "a.jsonl", "--out", "-")
    assert recipe.build(tomllib.loads(shown.out)).name == "a" and "rows in 3 languages" in shown.err
    value = json.loads(cli("init", file, "--out", "-", "--json").out)
    assert value["recipe"] is None and value["text"] and {row["lang"] for row in value["langs"]} == set(WORDS)
    value = json.loads(cli("init", file, "--force", "--json").out)
    assert value["recipe"] == "a.toml" and value["findings"][0]["severity"] >= 1
    for words, text in (
        (["init"], "Missing argument"),
        (["init", "gone.jsonl"], "no raw input"),
        (["init", "a.toml"], "file ending"),
        (["init", "a.jsonl", "--name", "a b"], "--name takes"),
        (["init", "a.jsonl", "--out", "a.jsonl/x.toml", "--force"], "a.jsonl"),
    ):
        wrong = cli(*words)
        assert wrong.code == 2 and text in wrong.err, wrong.err
