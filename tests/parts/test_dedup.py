"""dedup: which rows go, what happens to groups, and recall and precision on planted near-duplicates."""

from __future__ import annotations

import math
import random
import unicodedata
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from isogloss.core import parts
from isogloss.parts.steps import dedup
from isogloss.stages import barrier
from isogloss.stages.ops import Op

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
A = "The clinic on Station Road opens at eight in the morning and the doctor sees children first."
B = "The clinic on Station Road opens at eight in the morning, and the doctor sees children last."
C = "Please bring your insurance card and a list of the medicine that you take every day."
Z = "车站路的诊所早上八点开门,医生先给孩子们看病,然后才轮到大人,请大家耐心等待。"


def frame(*rows: tuple[str, str, str, str | None, str | None]) -> pl.DataFrame:
    schema = dict.fromkeys(("id", "lang", "text", "split", "group"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def run(batch: pl.DataFrame, **knobs: Any) -> pl.DataFrame:
    op = Op("dedup", parts.load("steps", "dedup").bind(knobs))
    return dedup.apply(batch, barrier.alone(op, batch), reweight=op.knobs["reweight"])


def test_exact_ignores_case_form_space_and_punctuation() -> None:
    variants = [A, A.upper(), "  " + A.replace(" ", "\u00a0") + "!", unicodedata.normalize("NFKD", A), A + "\u200b"]
    after = run(frame(*((f"r{i}", "eng_Latn", text, None, None) for i, text in enumerate(variants))))
    assert after["drop"].to_list() == [None] + ["exact duplicate of r0"] * 4


@pytest.mark.parametrize(
    "a, b",
    [
        ("5 %", "5"),
        ("1.5 mg", "15 mg"),
        ("10:30", "1030"),
        ("-5", "5"),
        ("C#", "C"),
        ("😀", "😡"),
        ("?", "!"),
        ("1 5", "15"),
    ],
)
def test_content_is_not_punctuation(a: str, b: str) -> None:
    assert (
        run(frame(("a", "eng_Latn", a, None, None), ("b", "eng_Latn", b, None, None)))["drop"].to_list() == [None] * 2
    )


def test_near_says_how_near_and_whether_labels_differ() -> None:
    batch = frame(("a", "eng_Latn", A, None, None), ("b", "eng_Latn", B, None, None)).with_columns(
        label=pl.Series(["x", "y"])
    )
    assert run(batch)["drop"].to_list() == [None, "near-duplicate of a (Jaccard 0.88); their labels differ"]
    assert run(batch, threshold=0.9)["drop"].to_list() == [None, None]
    assert run(batch, threshold=1.0)["drop"].to_list() == [None, None]


def test_one_character_weighs_alike_in_chinese() -> None:
    after = run(frame(("a", "zho_Hans", Z, None, None), ("b", "zho_Hans", Z.replace("早", "晚"), None, None)))
    assert str(after["drop"][1]).startswith("near-duplicate of a")


def test_short_texts_are_exact_only() -> None:
    after = run(
        frame(("a", "eng_Latn", "see you tomorrow", None, None), ("b", "eng_Latn", "see you tomorrows", None, None))
    )
    assert after["drop"].to_list() == [None, None]


def test_languages_do_not_meet() -> None:
    assert run(frame(("a", "eng_Latn", A, None, None), ("b", "swh_Latn", A, None, None)))["drop"].null_count() == 2


def test_test_rows_are_kept_and_preferred() -> None:
    splits = [None, "train", "dev", "test", "test"]
    after = run(frame(*((f"r{i}", "eng_Latn", A, split, None) for i, split in enumerate(splits))))
    assert after["drop"].to_list() == ["exact duplicate of r3"] * 2 + [None] * 3
    assert after["group"].to_list() == [None, None, None, "dup:r3", "dup:r3"]


def test_a_row_goes_only_for_one_that_stays() -> None:
    words = [f"word{i}" for i in range(60)]
    chain = [" ".join(words[i * 5 : 40 + i * 5]) for i in range(3)]  # each like the next, the ends not alike
    after = run(frame(*((f"r{i}", "eng_Latn", text, None, None) for i, text in enumerate(chain))))
    assert after["drop"][0] is None and after["drop"][2] is None
    assert str(after["drop"][1]).startswith("near-duplicate of r0")


def test_groups_merge_in_all_languages() -> None:
    batch = frame(
        ("a1", "eng_Latn", A, None, "g9"),
        ("a2", "eng_Latn", A, None, "g2"),  # g9 = g2 through English
        ("s1", "swh_Latn", C, None, "g2"),
        ("s2", "swh_Latn", C, None, "g5"),  # g2 = g5 through the other language
        ("t1", "hin_Deva", Z, None, "g5"),
        ("n1", "swh_Latn", C, None, None),
        ("o1", "eng_Latn", C, None, "other"),
    )
    kept = run(batch, action="group")
    assert kept["drop"].null_count() == 7
    assert kept["group"].to_list() == ["g2"] * 6 + ["other"]
    dropped = run(batch)
    assert (
        dropped.filter(pl.col("drop").is_not_null())["id"].to_list() == ["a2", "s2", "n1"]
        or dropped["drop"].null_count() == 4
    )
    assert dropped.filter(pl.col("id") == "t1")["group"].item() == "g2", "a translation goes with the merged group"


def test_given_splits_are_not_tied_together() -> None:
    batch = frame(
        ("a", "eng_Latn", A, "train", "g1"), ("b", "eng_Latn", A, "test", "g2"), ("c", "swh_Latn", C, "train", "g1")
    )
    assert run(batch, action="group")["group"].to_list() == ["g1", "g2", "g1"]
    after = run(batch)
    assert after["drop"].to_list() == ["exact duplicate of b", None, None]
    assert after["group"].to_list() == ["g1", "g2", "g1"]


D = (
    "The clinic on Station Road opens at eight in the morning. The doctor sees children first. Please bring your card. "
    "A list of the medicine that you take helps us. On Sundays we are closed, and the hospital in town is open. "
)


def test_a_document_with_a_sentence_added_is_a_near_duplicate_and_a_short_text_is_not() -> None:
    more = (
        "Those who come after six in the evening ring the bell at the side of the house, where somebody always waits."
    )
    batch = frame(("a", "eng_Latn", D, None, None), ("b", "eng_Latn", D + more, None, None))
    assert str(run(batch)["drop"][1]).endswith("of the shorter in the longer)")
    batch = frame(
        ("a", "eng_Latn", A, None, None), ("b", "eng_Latn", A + " Bring your card and a list of pills.", None, None)
    )
    assert run(batch)["drop"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("الْعَرَبِيَّةُ لغةٌ قديمةٌ جدًّا ويتكلّمها ملايينُ النّاس", "العربية لغة قديمة جدا ويتكلمها ملايين الناس"),  # vowel points
        ("یہ ایک چھوٹی سی کہانی ہے جو کئی لوگوں نے سنی", "يه ايك چهوٹي سي كهاني هے جو كئي لوگوں نے سني"),  # Arabic for Urdu letters
        ("ΤΟ ΙΑΤΡΕΙΟ ΑΝΟΙΓΕΙ ΣΤΙΣ ΟΚΤΩ ΤΟ ΠΡΩΙ ΚΑΘΕ ΜΕΡΑ", "Το ιατρείο ανοίγει στις οκτώ το πρωί κάθε μέρα"),
        ("Ёлка ещё зелёная, а её всё равно несут в лес", "Елка еще зеленая, а ее все равно несут в лес"),
        ("İSTANBUL'DA ILIK BİR İLKBAHAR SABAHI YÜRÜDÜK", "istanbul'da ılık bir ilkbahar sabahı yürüdük"),
    ],
)  # fmt: skip
def test_what_readers_do_not_see_or_keyboards_confuse_is_near(a: str, b: str) -> None:
    assert str(run(frame(("a", "und", a, None, None), ("b", "und", b, None, None)))["drop"][1]).startswith("near")


def test_clusters_copies_and_weights() -> None:
    batch = frame(
        *((f"r{i}", "eng_Latn", A, None, None) for i in range(4)),
        ("s", "eng_Latn", B, None, None),
        ("t", "eng_Latn", C, None, None),
    )
    after = run(batch, reweight="fineweb2")
    assert after["cluster"].to_list() == ["r0"] * 5 + [None]
    stays = after.filter(pl.col("drop").is_null())
    assert stays.select("id", "copies", "weight").rows() == [("r0", 5, 5.0), ("t", 1, 1.0)]
    log = run(batch, reweight="log").filter(pl.col("drop").is_null())["weight"]
    assert log.to_list() == pytest.approx([1 + math.log(5), 1.0])
    assert "weight" not in run(batch).columns
    # What stays stands for what went when the step runs again, and when all rows stay they stand for themselves.
    again = run(stays.drop("drop"), reweight="fineweb2")
    assert again.select("cluster", "copies", "weight").equals(stays.select("cluster", "copies", "weight"))
    assert run(batch, action="group")["copies"].to_list() == [1] * 6


@pytest.mark.parametrize("n", [3, 60])
def test_a_crowd_of_copies_leaves_one(n: int) -> None:
    """More rows than are compared with each other, all edited in another place."""
    rng = random.Random(1)
    texts = [D[:at] + "x" + D[at + 1 :] for at in rng.sample(range(len(D)), n)]
    after = run(frame(*((f"r{i:03}", "eng_Latn", text, None, None) for i, text in enumerate(texts))))
    assert after["drop"].null_count() == 1 and after["cluster"].to_list() == ["r000"] * n


def edited(text: str, rng: random.Random) -> str:
    """Make a near-duplicate: an edited letter, another Unicode form, case, punctuation."""
    letters = [i for i, c in enumerate(text) if c.isalpha()]
    at = rng.choice(letters)
    text = text[:at] + rng.choice(text.replace(" ", "")) + text[at + 1 :]
    return rng.choice([str.upper, lambda t: unicodedata.normalize("NFKD", t), lambda t: t.replace(",", "") + " ..."])(
        text
    )


@pytest.mark.slow
def test_recall_and_precision_on_planted_rows() -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared is not here")
    sib = pl.read_parquet(SHARED / "sib200.parquet", columns=["id", "lang", "text"])
    # Documents of five sentences, and single sentences apart.
    rng = random.Random(5)
    for n_sentences, wanted in ((5, 0.995), (1, 0.93)):
        rows: list[tuple[str, str, str, None, None]] = []
        planted: dict[str, str] = {}
        for (lang,), part in sorted(sib.group_by("lang"), key=lambda item: str(item[0][0])):
            texts = part.sort("id").unique("text", maintain_order=True)["text"].to_list()
            documents = [" ".join(texts[i : i + n_sentences]) for i in range(0, len(texts) - n_sentences, n_sentences)][
                :200
            ]
            rows += [(f"{lang}-{i:04d}", str(lang), text, None, None) for i, text in enumerate(documents)]
            for i in rng.sample(range(len(documents)), 20):
                planted[f"{lang}-{i:04d}x"] = f"{lang}-{i:04d}"
                rows.append((f"{lang}-{i:04d}x", str(lang), edited(documents[i], rng), None, None))
        after = run(frame(*rows))
        gone = {name: reason for name, reason in after.select("id", "drop").iter_rows() if reason}
        found = {name for name, of in planted.items() if f" of {of}" in gone.get(name, "")}
        missed: dict[str, int] = {}
        for name in set(planted) - found:
            missed[name[:8]] = missed.get(name[:8], 0) + 1
        recall, precision = len(found) / len(planted), len(found) / len(gone)
        print(f"{n_sentences} sentences: recall {recall:.4f}, precision {precision:.4f}, missed {missed}")  # noqa: T201
        assert recall >= wanted
        assert precision >= 0.99
