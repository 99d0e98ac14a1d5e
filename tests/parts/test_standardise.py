"""standardise: what it repairs, what it must never touch, and that twice is the same as once."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import polars as pl
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.parts.steps import standardise
from isogloss.parts.steps.standardise import clean

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

# One piece of everything the step has a rule for.
PIECES = [
    *"aé\u0301 \t\n\r\v\x85\x00\x1f\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff\u00ad\u2028\u3000\u1680\u202f",
    "\ufe0f",
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\U0001f3f4\U000e0067\U000e007f\U0001f468\U0001f3fd",
    *[
        "â€™",
        "Ã¶",
        "Ð¿Ñ",
        "\udce9",
        "\ud83d\ude00",
        "\ud83d",
        "می",
        "क्",
        "ක්",
        "ကြ",
        "ᠮᠣ",
        "ខ",
        "漢",
        "ｶﾞ",
        "ﬁ",
        "ש",
        "7",
        "!",
    ],
]


@pytest.mark.parametrize(
    "given_, wanted",
    [
        ("schÃ¶n", "schön"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"),
        ("â€œcafe\u0301â€\x9d", "“café”"),
        ("tab\there\u00a0and\u2009there", "tab here and there"),
        ("a\r\nb\rc\u2028d\u000be", "a\nb\nc\nd\ne"),
        ("a\n \n\n\nb ", "a\n\nb"),
        ("nul\x00l and \x1b[0m bell\x07", "null and [0m bell"),
        ("\ufeffin\ufeffside", "inside"),
        ("\ud83d\ude00 and \ud83d", "😀 and"),
        ("zero\u200bwidth join\u200cer soft\u00adhyphen", "zerowidth joiner softhyphen"),
        ("plain \u202eunpaired", "plain unpaired"),
        ("closed\u202c and \u2069", "closed and"),
        ("latin \u200fmark", "latin mark"),
        ("\U0001f3f4 a\U000e0067", "\U0001f3f4 a"),
    ],
)
def test_repairs(given_: str, wanted: str) -> None:
    assert clean(given_) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cروم خانه\u200cها ۱۰\u200cها",  # Persian ZWNJ
        "क\u094d\u200dष र\u094d\u200dय",  # Devanagari half forms
        "ක්\u200dරීඩා",  # Sinhala
        "ന്\u200d",  # Malayalam chillu, at the end
        "👨\u200d👩\u200d👧 👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 🏳\ufe0f\u200d🌈",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "ភាសា\u200bខ្មែរ",  # Khmer word boundary
        "ภาษา\u200bไทย",
        "ᠮᠣᠩᠭᠣᠯ\u202fᠤᠨ",  # Mongolian suffix
        "ᚑᚌᚐᚋ\u1680ᚑᚌᚐᚋ",  # Ogham
        "שלום \u200fabc\u200f!",
        "قال \u2067abc\u2069 لهم",
        "‘quotes’ “stay” «so» „do“ ﬁ ligatures, ｆｕｌｌ width, ½ ² ™ &amp; İstanbul ß",
        "ሰላም፡ዓለም።",
        "བོད་སྐད།",
        "Ã is a letter; São, NAÇÃO, Ünïcödé, façade; Å Ö Ä",
    ],
)
def test_leaves_alone(text: str) -> None:
    assert clean(text) == unicodedata.normalize("NFC", text)


@settings(max_examples=600, deadline=None)
@given(
    st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=16).map("".join)),
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    st.booleans(),
)
def test_twice_is_once(text: str, form: standardise.Form, newlines: bool) -> None:
    once = clean(text, form, newlines)
    assert clean(once, form, newlines) == once
    assert unicodedata.is_normalized(form, once)
    assert newlines or "\n" not in once
    once.encode()  # no surrogate is left


@given(st.text(alphabet=st.characters(categories=["Ll", "Lu", "Lo", "Nd"], min_codepoint=0x370), max_size=30))
def test_letters_of_no_script_are_lost(text: str) -> None:
    visible = regex.sub(r"\p{Default_Ignorable_Code_Point}", "", text)
    assert regex.sub(r"\p{Default_Ignorable_Code_Point}", "", clean(text)) == unicodedata.normalize("NFC", visible)


def test_forms_and_newlines() -> None:
    assert clean("ﬁ ｱ ²", "NFKC") == "fi ア 2"
    assert clean("é", "NFD") == "e\u0301"
    assert clean("a\n\nb", newlines=False) == "a b"


def test_drops_what_becomes_empty() -> None:
    texts = ["", None, " \u00a0", "\x00", "\u200d\ufeff", "\u202e", "x", "。", "😀"]
    after = standardise.apply(pl.DataFrame({"id": [str(i) for i in range(9)], "text": texts}))
    assert after["drop"].to_list() == ["empty after standardise"] * 6 + [None] * 3


def test_long_runs_take_linear_time() -> None:
    for run in ("\u200d", "\u202e", "\u0301", "\U000e0067", " ", "Ã", "\u200b"):
        assert len(clean("a" + run * 50_000)) <= 50_001


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
@pytest.mark.parametrize(
    "pack, n_mojibake",  # looked at one by one: UTF-8 read twice (Indonesian), C1 (Catalan)
    [("sib200", 36), ("udhr", 0), ("tico19_medical", 0), ("nusax_senti", 0), ("afrisenti", 0), ("xcopa", 0)],
)
def test_real_sentences_change_in_form_and_spaces_only(pack: str, n_mojibake: int) -> None:
    texts = pl.read_parquet(SHARED / f"{pack}.parquet", columns=["text"])["text"].drop_nulls().to_list()
    invisible = regex.compile(r"[\p{Cf}\p{Cc}\s]+")
    changed = []
    for text in texts:
        result = clean(text)
        assert clean(result) == result
        if invisible.sub("", unicodedata.normalize("NFC", text)) != invisible.sub("", result):
            changed.append(text)
    assert len(changed) == n_mojibake
