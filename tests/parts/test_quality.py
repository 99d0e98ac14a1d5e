"""quality: the usual stays in every script, the unusual goes with a reason, and thresholds come from the data alone."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import measures
from isogloss.core.frames import Frames
from isogloss.parts.steps import quality

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
SCHEMA = dict.fromkeys(("id", "text", "lang"), pl.String)
# A few words of one script each; the identifier knows the first two languages.
WORDS = {
    "eng_Latn": [
        "the",
        "of",
        "and",
        "to",
        "in",
        "river",
        "market",
        "student",
        "house",
        "road",
        "teacher",
        "water",
        "morning",
        "child",
        "people",
        "rain",
        "city",
        "long",
        "old",
        "new",
    ],
    "tam_Taml": [
        "மழை",
        "சந்தை",
        "மாணவர்",
        "நகரம்",
        "ஆறு",
        "சாலை",
        "வீடு",
        "குழந்தை",
        "மனிதன்",
        "நாள்",
        "அது",
        "ஒரு",
        "என்று",
        "இந்த",
        "மற்றும்",
    ],
    "amh_Ethi": ["ዝናብ", "ገበያ", "ተማሪ", "ከተማ", "ወንዝ", "መንገድ", "ቤት", "ልጅ", "ሰው", "ቀን", "ነው", "እና", "ላይ", "ውስጥ", "ነበር"],
    "lao_Laoo": ["ຝົນ", "ຕະຫຼາດ", "ນັກຮຽນ", "ເມືອງ", "ແມ່ນ້ຳ", "ຖະໜົນ", "ເຮືອນ", "ເດັກ", "ຄົນ", "ມື້"],
    "zho_Hans": list("雨市场学生城河路家孩子人天的了是在有这我们"),
    "nqo_Nkoo": ["ߞߊ߬ߙߊ߲", "ߛߏ", "ߞߐ", "ߡߐ߱", "ߕߟߋ߬", "ߖߌ", "ߓߏ߲", "ߘߋ߲", "ߛߌߟߊ"],
}


def sentence(tag: str, rng: random.Random) -> str:
    words = WORDS[tag]
    apart = "" if tag in ("zho_Hans", "lao_Laoo") else " "
    return apart.join(rng.choice(words) for _ in range(rng.randint(8, 25))) + "."


def frame(*rows: tuple[str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame([(str(i), *row) for i, row in enumerate(rows)], schema=SCHEMA, orient="row")


def corpus(n: int = 120, seed: int = 0) -> list[tuple[str | None, str | None]]:
    rng = random.Random(seed)
    return [(sentence(tag, rng), tag) for _ in range(n) for tag in WORDS]


def decided(rows: pl.DataFrame, parts: int = 1, **knobs: float) -> pl.DataFrame:
    size = -(-rows.height // parts)
    shards = [rows[i : i + size] for i in range(0, rows.height, size)]
    summaries = pl.concat([quality.summarise(shard) for shard in shards])
    pieces = summaries.partition_by("bucket") if summaries.height else [summaries]
    named = pl.concat([quality.decide(piece) for piece in pieces])
    looked = pl.concat([quality.inspect(shard, named) for shard in shards])
    pieces = looked.partition_by("bucket") if looked.height else [looked]
    return pl.concat([quality.settle(piece, Frames([summaries]), **knobs) for piece in pieces])


@pytest.fixture(scope="module")
def decision() -> pl.DataFrame:
    return decided(frame(*corpus()))


def reasons(decision: pl.DataFrame, *rows: tuple[str | None, str | None]) -> list[str | None]:
    return quality.apply(frame(*rows), decision)["drop"].to_list()


@pytest.mark.parametrize("tag", WORDS)
def test_rubbish_goes_and_text_stays_in_every_script(decision: pl.DataFrame, tag: str) -> None:
    rng = random.Random(7)
    new = [(sentence(tag, rng), tag) for _ in range(40)]
    assert sum(why is not None for why in reasons(decision, *new)) <= 1
    long = sentence(tag, rng)
    bad = [
        ("404 | 12 > 3 :: [0-9] {x} ** 12/2/3 :: 77 ## 900 $$ " + long[:6], tag),
        ((long + "\n") * 9, tag),
        ("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!" + long[:4], tag),
        ("", tag),
        ("12:30", tag),
    ]
    said = reasons(decision, *bad)
    assert [str(why).split(" (")[0] for why in said[:2]] == ["too many signs", "said again"]
    assert all(said)
    other = "Zxq vprt kghw bdfj qqlm wrtz plkv nmbx tqrs hjkl vbnm zzxc" if tag != "eng_Latn" else "ko te mihi kau nga"
    assert reasons(decision, (other * 2, tag))[0] is not None, "text in another language or none"


def test_few_rows_are_not_judged_and_that_is_said() -> None:
    few = frame(*corpus(20), ("!!!", "eng_Latn"), (None, "eng_Latn"), ("abc", None))
    found = decided(few)
    assert quality.apply(few, found)["drop"].drop_nulls().to_list() == ["no letters"]
    told = quality.learned(found)
    assert set(told["measure"]) == {"not judged, under 50 texts"} and told.height == len(WORDS)


def test_shards_and_order_change_nothing(decision: pl.DataFrame) -> None:
    rows = frame(*corpus())
    assert decided(rows, parts=7).equals(decision)
    assert decided(rows.sample(fraction=1.0, shuffle=True, seed=3), parts=5).equals(decision)


def test_rubbish_in_the_corpus_moves_little() -> None:
    """Up to a quarter of rubbish: what is dropped is the rubbish."""
    rng = random.Random(5)
    good = [(sentence("eng_Latn", rng), "eng_Latn") for _ in range(300)]
    bad = [("= = 12 12 [ ] | 0:0 # " * rng.randint(2, 6) + "x y", "eng_Latn") for _ in range(70)]
    rows = frame(*good, *bad)
    gone = quality.apply(rows, decided(rows))["drop"].is_not_null()
    assert gone[:300].sum() <= 3 and gone[300:].sum() >= 68


def test_what_was_learned_is_said(decision: pl.DataFrame) -> None:
    told = quality.learned(decision)
    assert set(told["lang"]) == set(WORDS)
    own = told.filter(pl.col("lang") == "eng_Latn")
    assert own["measure"].to_list() == [*quality.MEASURES, "any"]
    assert own.filter(pl.col("measure") == "any")["removes"].item() <= 0.03
    strict = quality.learned(decided(frame(*corpus()), tail=0.1)).filter(pl.col("measure") == "any")
    loose = told.filter(pl.col("measure") == "any")
    assert strict["removes"].mean() > loose["removes"].mean()  # type: ignore[operator]


def test_columns_rank_text_above_rubbish(decision: pl.DataFrame) -> None:
    rng = random.Random(9)
    rows = frame(
        (sentence("eng_Latn", rng), "eng_Latn"), ("|| 12 12 ++ 7", "eng_Latn"), ("abc", None), (None, "eng_Latn")
    )
    after = quality.apply(rows, decision, columns=True)
    assert after["quality"][0] > 0.8 > 0.2 > after["quality"][1]
    assert after["quality"].to_list()[2:] == [None, None]
    assert after["drop"].to_list()[2:] == [None, None], "no text, no language: other steps say so"
    assert {f"quality_{name}" for name in quality.MEASURES} <= set(after.columns)


def test_earlier_reasons_stay(decision: pl.DataFrame) -> None:
    rows = frame(("!!!", "eng_Latn")).with_columns(drop=pl.lit("script: 0 % Latn"))
    assert quality.apply(rows, decision)["drop"].to_list() == ["script: 0 % Latn"]
    assert quality.summarise(rows).is_empty(), "what goes teaches nothing"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=60), st.sampled_from([*WORDS, "und_Zyyy", "zzz_Latn"])), max_size=12))
def test_any_text_is_measured(rows: list[tuple[str, str]]) -> None:
    batch = frame(*[(text.encode("utf-8", "ignore").decode(), tag) for text, tag in rows])
    found = decided(frame(*corpus(60)[:360])) if not _cache else _cache[0]
    _cache.append(found)
    after = quality.apply(batch, found, columns=True)
    assert after["id"].equals(batch["id"]) and after["text"].equals(batch["text"])
    score = after["quality"].drop_nulls()
    assert score.is_empty() or (0 <= float(score.min()) <= float(score.max()) <= 1)  # type: ignore[arg-type]


_cache: list[pl.DataFrame] = []


def test_a_line_of_300_000_characters_takes_seconds(decision: pl.DataFrame) -> None:
    import time

    begin = time.process_time()
    huge = ["a" * 300_000, "a@" * 150_000, "中" * 300_000, "word " * 60_000, "\n" * 300_000]
    said = reasons(decision, *((text, "eng_Latn") for text in huge))
    assert all(said)
    assert time.process_time() - begin < 30, "linear: a quadratic pattern took minutes"


def test_measures() -> None:
    assert measures.symbols("") == 1.0 and measures.symbols("abc") == 0.0
    assert measures.symbols("हिन्दी में") == 0.0, "marks are no signs"
    assert measures.repeated("one two three") == 0.0
    assert measures.repeated("你好" * 40) > 0.9
    assert measures.tokens(" ไปโรงพยาบาล ")[:2] == ["ไป", "ปโ"]


@pytest.mark.slow
def test_little_clean_text_goes() -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared is not here")
    sib = pl.read_parquet(SHARED / "sib200.parquet", columns=["id", "lang", "split", "text"])
    langs = sorted(sib["lang"].unique())[::6]
    sib = sib.filter(pl.col("lang").is_in(langs))
    after = quality.apply(sib.filter(pl.col("split") == "test"), decided(sib.filter(pl.col("split") == "dev")))
    assert after["drop"].is_not_null().mean() <= 0.03  # type: ignore[operator]
