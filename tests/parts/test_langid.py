"""langid: the rules one by one, then how often it is wrong on real rows of 61 languages."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest

from isogloss.parts.steps import langid

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
NOTHING = pl.DataFrame(schema={"lang": pl.String, "feature": pl.Int64, "n": pl.Int64})

ENGLISH = "The doctor will see you tomorrow morning at the clinic near the station."
SWAHILI = "Daktari atakuona kesho asubuhi katika zahanati iliyo karibu na kituo."
FRENCH = "Le médecin vous recevra demain matin à la clinique près de la gare."


def frame(*rows: tuple[str | None, str | None]) -> pl.DataFrame:
    schema = {"id": pl.String, "text": pl.String, "lang": pl.String}
    return pl.DataFrame([(str(i), *row) for i, row in enumerate(rows)], schema=schema, orient="row")


def reason(text: str, lang: str) -> str | None:
    return langid.apply(frame((text, lang)), NOTHING)["drop"][0]


def test_wrong_language() -> None:
    assert reason(ENGLISH, "eng_Latn") is None
    assert str(reason(SWAHILI, "eng_Latn")).startswith("langid: says swh ")
    assert str(reason(SWAHILI, "eng_Latn")).endswith(", declared eng_Latn")


def test_what_is_not_checked() -> None:
    assert reason("Daktari kesho.", "eng_Latn") is None, "too short"
    assert reason(ENGLISH, "ewe_Latn") is None, "the identifier does not know Ewe"
    assert reason("12:30 😀 — https://example.org/en @name", "amh_Ethi") is None, "no letters of its own"
    assert reason("Saya akan pergi ke dokter besok pagi karena sakit kepala.", "zsm_Latn") is None, "relatives"
    assert reason(ENGLISH, "eng_Zyyy") is None, "no such script in Unicode"


@pytest.mark.parametrize(
    "text, tag, share",
    [
        ("selam nat konjo", "amh_Ethi", "0 % Ethi"),
        ("привет", "srp_Latn", "0 % Latn"),
        ("漢語語法學會", "zho_Hans", "0 % Hans"),
        ("汉语语法学会", "zho_Hant", "0 % Hant"),
    ],
)
def test_wrong_script(text: str, tag: str, share: str) -> None:
    assert reason(text, tag) == f"script: {share}, declared {tag}"


@pytest.mark.parametrize(
    "text, tag",
    [
        ("東京タワー", "jpn_Jpan"),
        ("서울大學", "kor_Kore"),
        ("中文", "zho_Hant"),
        ("漢語", "yue_Hant"),
        ("namaste doston", "hin_Latn"),
        ("اردو زبان", "urd_Aran"),
        ("南极 (South Pole Traverse) 公路或高速公路始于罗斯海的站直通南极点", "zho_Hans"),
    ],
)
def test_right_script(text: str, tag: str) -> None:
    assert langid.script_share(text, tag[4:]) >= 0.5  # type: ignore[operator]
    assert not str(reason(text, tag)).startswith("script")


def test_fills_among_the_declared() -> None:
    texts = [(ENGLISH, None), (SWAHILI, None), (FRENCH, None), ("12", None), ("", None), (None, None)]
    after = langid.apply(frame(*texts), NOTHING, langs=("eng_Latn", "swh_Latn"))
    assert after["lang"].to_list() == ["eng_Latn", "swh_Latn", None, None, None, None]
    assert after["drop"].to_list()[:2] == [None, None]
    assert all(r.startswith("langid: cannot tell") for r in after["drop"].to_list()[2:])
    assert langid.apply(frame((FRENCH, None)), NOTHING)["lang"].to_list() == ["fra_Latn"]


def test_fills_the_right_script_of_a_language() -> None:
    langs = ("zho_Hant", "zho_Hans", "srp_Latn", "srp_Cyrl")
    texts = [
        "请问医生明天早上几点开门看病呢",
        "請問醫生明天早上幾點開門看病呢",
        "Лекар ће вас примити сутра ујутру у амбуланти.",
    ]
    after = langid.apply(frame(*((t, None) for t in texts)), NOTHING, langs=langs)
    assert after["lang"].to_list() == ["zho_Hans", "zho_Hant", "srp_Cyrl"]


def test_learns_a_language_the_identifier_lacks() -> None:
    assert "ewe" not in langid.known()
    ewe = [
        "Ɖɔkta la akpɔ wò etsɔ ŋdi le kɔdzi.",
        "Kɔdzi la le keteke dzɔƒe la gbɔ.",
        "Mele dɔ lém eye ta le ɖuyem ŋutɔ.",
    ]
    known = frame(*((text, "ewe_Latn") for text in ewe * 5), *((text, "eng_Latn") for text in [ENGLISH] * 5))
    langs = ("eng_Latn", "ewe_Latn")
    decision = langid.decide(langid.summarise(known, langs=langs))
    after = langid.apply(frame(("Ɖɔkta la le kɔdzi ŋdi sia.", None), (ENGLISH, None)), decision, langs=langs)
    assert after["lang"].to_list() == ["ewe_Latn", "eng_Latn"]
    assert langid.summarise(known, langs=("eng_Latn",)).is_empty(), "nothing to learn"
    assert langid.decide(langid.summarise(known.filter(pl.col("lang") == "eng_Latn"))).is_empty()


@pytest.fixture(scope="module")
def sib() -> pl.DataFrame:
    if not SHARED.is_dir():
        pytest.skip("../shared is not here")
    return pl.read_parquet(SHARED / "sib200.parquet", columns=["id", "lang", "split", "text"])


def worst(after: pl.DataFrame, wrong: pl.Expr, by: str) -> str:
    table = after.group_by(by).agg(wrong.mean().alias("share")).sort("share", by, descending=[True, False])
    return ", ".join(f"{lang} {share:.3f}" for lang, share in table.head(8).iter_rows())


@pytest.mark.slow
def test_rarely_drops_a_good_row(sib: pl.DataFrame) -> None:
    test = sib.filter(pl.col("split") == "test")
    langs = tuple(sorted(test["lang"].unique()))
    words = pl.col("text").str.split(" ").list.head(4).list.join(" ")
    for rows, limit in ((test, 0.0005), (test.with_columns(text=words), 0.004)):  # measured 0.0000 and 0.0017
        after = langid.apply(rows, NOTHING, langs=langs)
        share = after["drop"].is_not_null().mean()
        print(f"false drops {share:.5f}; worst: {worst(after, pl.col('drop').is_not_null(), 'lang')}")  # noqa: T201
        assert share <= limit


@pytest.mark.slow
def test_catches_planted_rows(sib: pl.DataFrame) -> None:
    test = sib.filter(pl.col("split") == "test")
    langs = tuple(sorted(test["lang"].unique()))
    rng = random.Random(1)
    planted = [rng.choice([lang for lang in langs if lang != true]) for true in test["lang"]]
    after = langid.apply(test.with_columns(true="lang", lang=pl.Series(planted)), NOTHING, langs=langs)
    caught = pl.col("drop").is_not_null()
    checked = after.filter(pl.col("lang").str.slice(0, 3).is_in(list(langid.known())))
    missed = worst(after, ~caught, "true")
    print(f"caught {after.select(caught.mean()).item()}; worst missed by true language: {missed}")  # noqa: T201
    assert after.select(caught.mean()).item() >= 0.78  # measured 0.795; 13 of the 61 are not known to the identifier
    assert checked.select(caught.mean()).item() >= 0.92  # measured 0.929


@pytest.mark.slow
def test_fills_well(sib: pl.DataFrame) -> None:
    test, train = (sib.filter(pl.col("split") == split) for split in ("test", "train"))
    langs = tuple(sorted(test["lang"].unique()))
    decision = langid.decide(langid.summarise(train, langs=langs))
    blank = test.with_columns(true="lang", lang=pl.lit(None, pl.String))
    after = langid.apply(blank, decision, langs=langs)
    right = (pl.col("lang") == pl.col("true")).fill_null(False)
    print(f"worst: {worst(after, ~right, 'true')}")  # noqa: T201
    assert after.select(right.mean()).item() >= 0.98  # measured 0.989
    # Without rows to learn from, a language that the identifier lacks is never named.
    after = langid.apply(blank.head(2000), NOTHING, langs=langs)
    lacking = ~pl.col("true").str.slice(0, 3).is_in(list(langid.known()))
    assert after.filter(lacking & (pl.col("lang") == pl.col("true"))).is_empty()
