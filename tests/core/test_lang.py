"""The table of languages, and reading a code as one of its tags."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langcodes import Language

from isogloss.core.errors import DataError
from isogloss.core.lang import GROUPS, UNKNOWN, Lang, Resolved, facts, group_of, resolve, table

RTL = {"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Mend", "Rohg", "Samr", "Mand", "Orkh"}
NO_SPACES = {"Thai", "Laoo", "Khmr", "Mymr", "Hans", "Hant", "Jpan", "Tibt"}

# fmt: off
SAME = {  # nothing is assumed
    "eng_Latn": "en eng EN en-US en_US English ENGLISH eng_latn ENG-LATN en-Latn-US-x-foo en_XX en-u-ca-gregory",
    "swh_Latn": "swh Kiswahili Swahili swh-Latn",
    "hin_Deva": "hi hin हिन्दी Hindi",
    "hin_Latn": "hi-Latn hin_Latn",
    "jpn_Jpan": "ja 日本語 jpn",
    "zho_Hans": "zh-CN zh_Hans zho_Hans zh-cmn-Hans cmn_Hans zh-SG",
    "zho_Hant": "zh-TW zh-Hant zh_Hant_HK zh-HK cmn_Hant",
    "yue_Hant": "yue-HK zh-yue-Hant",
    "por_Latn": "pt pt_BR pt-br por",
    "srp_Latn": "sr-Latn sr_latn_RS sr-ME",
    "srp_Cyrl": "sr_Cyrl sr-RS",
    "nob_Latn": "nb nob",
    "nno_Latn": "nn nno",
    "heb_Hebr": "iw he heb",
    "ind_Latn": "in id",
    "jav_Latn": "jw jv",
    "ron_Latn": "mo rum ro ron",
    "tgl_Latn": "tl fil tgl Tagalog Filipino",
    "est_Latn": "et est ekk Estonian eesti",
    "grn_Latn": "gn grn gug",
    "bbc_Latn": "bbc toba_batak",
    "deu_Latn": "ger deu de de_DE Deutsch German",
    "fra_Latn": "fre fr fra", "ces_Latn": "cze cs", "nld_Latn": "dut nl", "hye_Armn": "arm hy", "eus_Latn": "baq eu",
    "mya_Mymr": "bur my", "kat_Geor": "geo ka", "ell_Grek": "gre el", "isl_Latn": "ice is", "mkd_Cyrl": "mac mk",
    "mri_Latn": "mao mi", "slk_Latn": "slo sk", "bod_Tibt": "tib bo", "cym_Latn": "wel cy",
    "prs_Arab": "prs Dari",
    "pnb_Arab": "pnb",
    "kor_Hang": "ko kor kor_Kore",
    "cat_Latn": "ca ca-valencia ca-ES-valencia",
    "twi_Latn": "tw twi", "aka_Latn": "ak aka", "kon_Latn": "kg kon",
}
ASSUMED = {  # the note says what
    "arb_Arab": "ar ara ar-EG Arabic", "swh_Latn": "sw swa", "nob_Latn": "no nor Norwegian", "pes_Arab": "fa fas per",
    "zsm_Latn": "ms msa may", "lvs_Latn": "lv lav", "azj_Latn": "az aze", "azb_Arab": "az-IR aze_Arab",
    "uzn_Latn": "uz uzb", "khk_Cyrl": "mn mon", "pbt_Arab": "ps pus", "npi_Deva": "ne nep", "ory_Orya": "or ori",
    "als_Latn": "sq alb sqi", "ydd_Hebr": "yi ji yid", "plt_Latn": "mg mlg", "quy_Latn": "qu que Quechua",
    "ayr_Latn": "ay aym", "fuv_Latn": "ff ful", "gaz_Latn": "om orm", "snd_Arab": "sd snd", "kmr_Latn": "ku kur",
    "ckb_Arab": "ku-Arab ku-IQ", "pan_Guru": "pa pan", "pnb_Arab": "pa-Arab pa-PK lah", "kas_Arab": "ks kas",
    "knc_Latn": "kr kau", "tzm_Tfng": "tzm", "srp_Cyrl": "sr srp Serbian", "srp_Latn": "sh hbs",
    "zho_Hans": "zh zho chi cmn Chinese zho_Hani cmn_Hani", "nan_Hant": "nan zh-min-nan", "prs_Arab": "fa-AF",
}
# fmt: on


def cases(of: dict[str, str]) -> list[tuple[str, str]]:
    return [(code, tag) for tag, codes in of.items() for code in codes.split()]


@pytest.mark.parametrize(("code", "tag"), cases(SAME))
def test_a_code_that_says_all_is_read_without_a_note(code: str, tag: str) -> None:
    assert (resolve(code).tag, resolve(code).note) == (tag, None)


@pytest.mark.parametrize(("code", "tag"), cases(ASSUMED))
def test_what_is_assumed_is_said(code: str, tag: str) -> None:
    got = resolve(code)
    assert got.tag == tag
    assert got.note and code in got.note and tag in got.note


@pytest.mark.parametrize(
    ("code", "variety"),
    cases(
        {"BR": "pt_BR pt-br", "US": "en-US en_us", "GB": "en-UK", "HK": "zh_Hant_HK", "419": "es-419", "": "pt en_XX"}
    )
    + cases({"valencia": "ca-valencia", "ES-valencia": "ca-ES-valencia"}),
)
def test_the_variety_is_kept_when_given(code: str, variety: str) -> None:
    assert resolve(code).variety == (variety or None)


NO_LANGUAGE = "xx und mul zxx mis qaa root klingonish none Latn en--US en_ x-foo eng_Abcd eng_Zxxx ber a ß eng_Latn_"


@pytest.mark.parametrize(
    "code", [*NO_LANGUAGE.split(), "", " ", None, 7, "latin script", "a" * 300, "e\x00n", "\x00\x80"]
)
def test_what_is_no_language_is_refused_in_one_sentence(code: object) -> None:
    with pytest.raises(DataError) as refusal:
        resolve(code)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_a_refusal_names_the_nearest() -> None:
    for wrong, right in [("Swahilli", "Swahili"), ("swh_Lant", "swh_Latn"), ("Kinyarwandan", "Kinyarwanda")]:
        with pytest.raises(DataError, match=f"did you mean '{right}'"):
            resolve(wrong)


def test_a_name_in_another_language_is_read_for_languages_we_carry() -> None:
    assert resolve("Englisch") == Resolved("eng_Latn")
    assert resolve(" 中文 ").tag == "zho_Hans"


@given(st.text(max_size=12) | st.from_regex(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}", fullmatch=True))
@example("İ")
@example("en-a")
@example("zh-x-y-z")
@settings(deadline=None, max_examples=400)
def test_any_text_gives_a_tag_or_a_refusal_and_tags_stay(code: str) -> None:
    try:
        got = resolve(code)
    except DataError:
        return
    assert re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", got.tag)
    assert resolve(got.tag) == Resolved(got.tag)
    assert facts(got.tag).tag == got.tag


@given(st.from_regex(r"[a-z]{3}_[A-Z][a-z]{3}", fullmatch=True))
@settings(deadline=None)
def test_any_tag_has_facts(tag: str) -> None:
    lang = facts(tag)
    assert lang.tag == tag and lang.script == tag[4:]
    assert all(isinstance(group_of(tag, by), str) for by in GROUPS)


def test_every_row() -> None:
    rows = table()
    assert len(rows) >= 600
    for tag, row in rows.items():
        assert re.fullmatch(r"[a-z]{3}_[A-Z][a-z]{3}", tag) and tag == row.tag
        assert Language.make(script=row.script).is_valid(), tag
        assert Language.get(row.bcp47).is_valid(), tag
        assert row.direction == ("rtl" if row.script in RTL else "ttb" if row.script == "Mong" else "ltr"), tag
        assert row.latitude is None or -90 <= row.latitude <= 90, tag
        assert row.longitude is None or -180 <= row.longitude <= 180, tag
        assert (row.latitude is None) == (row.longitude is None), tag
        assert row.speakers is None or row.speakers >= 0, tag
        assert row.resource in {*"012345", UNKNOWN}, tag
        assert row.macrolanguage == UNKNOWN or re.fullmatch("[a-z]{3}", row.macrolanguage), tag
        assert row.glottocode == UNKNOWN or re.fullmatch(r"[a-z0-9]{4}\d{4}", row.glottocode), tag
        assert row.script not in NO_SPACES or row.spaces is False, tag
        assert row.script not in {"Latn", "Cyrl", "Ethi", "Hang", "Deva"} or row.spaces is True, tag
        assert all(getattr(row, field.name) != "" for field in fields(row)), tag
        assert row.name != UNKNOWN, tag
        assert resolve(tag) == Resolved(tag)
        assert resolve(tag.upper().replace("_", "-")).tag == tag


def test_every_bcp47_code_is_read_as_its_row() -> None:
    wrong = {row.bcp47: (tag, resolve(row.bcp47).tag) for tag, row in table().items() if resolve(row.bcp47).tag != tag}
    assert not wrong


def test_every_name_is_read_as_its_language() -> None:
    for tag, row in table().items():
        for name in {row.name, row.endonym} - {UNKNOWN}:
            if len(name) > 3 and name != "sardu":  # shorter names may be codes, which win; sardu is srd, not only src
                assert resolve(name).tag[:3] == tag[:3], (tag, name)
    assert resolve("Montenegrin").tag == "cnr_Latn" and resolve("Montenegrin").note


def test_facts_of_some_rows() -> None:
    swahili = facts("swh_Latn")
    assert (swahili.family, swahili.genus, swahili.macrolanguage) == ("Atlantic-Congo", "Bantu", "swa")
    assert facts("eus_Latn").family == "isolate"
    assert facts("arb_Arab").digits == "arab" and facts("pes_Arab").digits == "arabext"
    assert facts("hin_Deva").digits == "deva" and facts("amh_Ethi").spaces is True
    assert facts("zho_Hant").family == facts("zho_Hans").family == "Sino-Tibetan"
    assert facts("eng_Latn").resource == "5" and group_of("eng_Latn", "resource") == "5"


def test_facts_outside_the_table() -> None:
    assert facts("eng_Arab").family == "Indo-European" and facts("eng_Arab").direction == "rtl"
    assert facts("tlh_Latn").name == "Klingon (Latin)" and facts("tlh_Latn").speakers is None
    assert facts("xxx_Qaaa") == Lang("xxx_Qaaa")
    for wrong in ("eng", "eng-Latn", "ENG_LATN", ""):
        with pytest.raises(DataError):
            facts(wrong)


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(DataError, match="did you mean 'family'"):
        group_of("eng_Latn", "famly")


def test_import_and_tags_need_only_the_standard_library() -> None:
    code = (
        "import sys; from isogloss.core.lang import resolve, table; "
        "table(); resolve('swh_Latn'); "
        "assert not {'langcodes', 'language_data', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
