"""Values in text: what is certain is read in every language that CLDR knows, what is not is left; twice is once."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core.values import calendars, cldr
from isogloss.core.values.rewrite import Forms, find, rewrite

pytest.importorskip("babel", reason="the extra `text` is not installed")

EVERYTHING = Forms(units="si")
LANGS = "eng_Latn deu_Latn spa_Latn fra_Latn rus_Cyrl hin_Deva ben_Beng tam_Taml arb_Arab pes_Arab heb_Hebr tha_Thai".split()  # noqa: SIM905
LANGS += "zho_Hans zho_Hant jpn_Jpan kor_Hang amh_Ethi kat_Geor hye_Armn mya_Mymr khm_Khmr swh_Latn fin_Latn tur_Latn".split()  # noqa: SIM905


def rewritten(lang: str, text: str, region: str | None = None, forms: Forms = EVERYTHING) -> str:
    known = cldr.conventions(lang, region)
    assert known is not None
    return rewrite(text, known, forms)


# -- dates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("eng_Latn", "3 April 2025"),
        ("eng_Latn", "April 3rd, 2025"),
        ("eng_Latn", "3-Apr-2025"),
        ("deu_Latn", "3. April 2025"),
        ("deu_Latn", "03.04.2025"),
        ("fra_Latn", "3 avril 2025"),
        ("spa_Latn", "3 de abril de 2025"),
        ("ita_Latn", "3 aprile 2025"),
        ("pol_Latn", "3 kwietnia 2025"),
        ("rus_Cyrl", "3 апреля 2025"),
        ("ell_Grek", "3 Απριλίου 2025"),
        ("hun_Latn", "2025. április 3"),
        ("lvs_Latn", "2025. gada 3. aprīlis"),
        ("eus_Latn", "2025(e)ko apirilaren 3(a)"),
        ("fin_Latn", "3. huhtikuuta 2025"),
        ("tur_Latn", "3 Nisan 2025"),
        ("arb_Arab", "٣ أبريل ٢٠٢٥"),
        ("arb_Arab", "3 نيسان 2025"),
        ("heb_Hebr", "3 באפריל 2025"),
        ("hin_Deva", "३ अप्रैल २०२५"),
        ("ben_Beng", "৩ এপ্রিল, ২০২৫"),
        ("tam_Taml", "3 ஏப்ரல், 2025"),
        ("zho_Hans", "2025年4月3日"),
        ("zho_Hans", "2025 年 4 月 3 日"),
        ("jpn_Jpan", "２０２５年４月３日"),
        ("kor_Hang", "2025년 4월 3일"),
        ("khm_Khmr", "3 មេសា 2025"),
        ("kat_Geor", "3 აპრილი, 2025"),
        ("hye_Armn", "3 ապրիլի, 2025"),
        ("swh_Latn", "3 Aprili 2025"),
        ("zul_Latn", "Ephreli 3, 2025"),
        ("eng_Latn", "2025/4/3"),
    ],
)
def test_a_date_in_the_way_of_its_language(lang: str, text: str) -> None:
    assert rewritten(lang, f"({text})") == "(2025-04-03)"


@pytest.mark.parametrize("lang", LANGS)
def test_dates_as_babel_writes_them_are_read_back(lang: str) -> None:
    from babel.dates import format_date

    name = cldr._bases()[lang][-1]
    known, count = cldr.conventions(lang), calendars.counting(lang)
    assert known is not None
    day, n_read = date(1999, 12, 31), 0
    for _ in range(12):
        day += timedelta(days=97)
        for form in ("long", "medium"):
            text = format_date(day, form, locale=name)
            found = [v for v in find(text, known, EVERYTHING) if v.kind == "date"]
            assert all(v.value == str(day) for v in found), text
            n_read += bool(found)
    if count.calendar == "gregorian":
        assert n_read >= 20, f"only {n_read} of 24 dates of {lang} are read"


@pytest.mark.parametrize(
    ("lang", "region", "text", "wanted"),
    [
        ("eng_Latn", None, "03/04/2025", "03/04/2025"),
        ("eng_Latn", "US", "03/04/2025", "2025-03-04"),
        ("eng_Latn", "GB", "03/04/2025", "2025-04-03"),
        ("eng_Latn", None, "23/04/2025", "2025-04-23"),
        ("eng_Latn", "US", "23/04/2025", "23/04/2025"),
        ("eng_Latn", None, "04/04/2025", "2025-04-04"),
        ("spa_Latn", None, "03/04/2025", "03/04/2025"),
        ("spa_Latn", "MX", "03/04/2025", "2025-04-03"),
        ("jpn_Jpan", None, "03/04/2025", "03/04/2025"),
        ("deu_Latn", None, "3.4.25", "3.4.25"),
        ("eng_Latn", None, "31/02/2025", "31/02/2025"),
        ("eng_Latn", None, "3 to 5 April 2025", "3 to 5 April 2025"),
        ("eng_Latn", None, "3, 4 and 5 April 2025", "3, 4 and 5 April 2025"),
        ("deu_Latn", None, "vom 3. bis 5. April 2025", "vom 3. bis 5. April 2025"),
        ("eng_Latn", None, "3 April – 5 May 2025", "3 April – 5 May 2025"),
        ("eng_Latn", None, "3 April 2025 – 5 May 2025", "2025-04-03 – 2025-05-05"),
        ("zho_Hans", None, "2025年4月3日至5日", "2025年4月3日至5日"),
        ("eng_Latn", None, "3 May 1066", "3 May 1066"),
        ("rus_Cyrl", None, "25 октября 1917 года", "25 октября 1917 года"),
        ("eng_Latn", None, "version 1.2.2025.1 of sales_2025-04-03.csv", "version 1.2.2025.1 of sales_2025-04-03.csv"),
        ("eng_Latn", None, "3 April 44 BC", "3 April 44 BC"),
    ],
)
def test_what_is_not_certain_stays(lang: str, region: str | None, text: str, wanted: str) -> None:
    assert rewritten(lang, text, region) == wanted


@pytest.mark.parametrize(
    ("lang", "text", "wanted"),
    [
        ("tha_Thai", "๓ เมษายน ๒๕๖๘", "2025-04-03 (๓ เมษายน ๒๕๖๘)"),
        ("tha_Thai", "3 เมษายน พ.ศ. 2568", "2025-04-03 (3 เมษายน พ.ศ. 2568)"),
        ("tha_Thai", "3 เมษายน ค.ศ. 2025", "2025-04-03"),
        ("tha_Thai", "3 เมษายน 2025", "3 เมษายน 2025"),
        ("tha_Thai", "3/4/2568", "3/4/2568"),
        ("tha_Thai", "10 มกราคม 2470", "10 มกราคม 2470"),
        ("pes_Arab", "۱۴ فروردین ۱۴۰۴", "2025-04-03 (۱۴ فروردین ۱۴۰۴)"),
        ("pes_Arab", "۱۴۰۴/۰۱/۱۴", "۱۴۰۴/۰۱/۱۴"),
        ("pes_Arab", "۳ آوریل ۲۰۲۵", "2025-04-03"),
        ("amh_Ethi", "መጋቢት 25 2017", "2025-04-03 (መጋቢት 25 2017)"),
        ("amh_Ethi", "3/4/2017", "3/4/2017"),
        ("tir_Ethi", "3 ጥሪ 2025", "3 ጥሪ 2025"),
        ("sin_Sinh", "2025 බක් 3", "2025 බක් 3"),
        ("npi_Deva", "२०८२/१२/२०", "२०८२/१२/२०"),
        ("jpn_Jpan", "令和7年4月3日", "2025-04-03 (令和7年4月3日)"),
        ("jpn_Jpan", "平成元年1月8日", "1989-01-08 (平成元年1月8日)"),
        ("jpn_Jpan", "平成40年1月1日", "平成40年1月1日"),
        ("zho_Hant", "民國114年4月3日", "2025-04-03 (民國114年4月3日)"),
        ("arb_Arab", "٥ شوال ١٤٤٦", "5 شوال 1446"),
    ],
)
def test_other_calendars_are_converted_with_the_original_beside_or_left(lang: str, text: str, wanted: str) -> None:
    assert rewritten(lang, text) == wanted


def test_calendars_agree_with_days_that_are_known() -> None:
    # Norouz and Enkutatash of years around leap years
    assert [str(calendars.persian(y, 1, 1)) for y in (1370, 1376, 1388, 1400, 1404)] == [
        "1991-03-21", "1997-03-21", "2009-03-21", "2021-03-21", "2025-03-21",
    ]  # fmt: skip
    assert [str(calendars.ethiopic(y, 1, 1)) for y in (1992, 2000, 2008, 2012, 2016, 2017)] == [
        "1999-09-12", "2007-09-12", "2015-09-12", "2019-09-12", "2023-09-12", "2024-09-11",
    ]  # fmt: skip
    days = [calendars.persian(1403, m, d) for m in range(1, 13) for d in range(1, 32)]
    whole = [day for day in days if day]
    assert len(whole) == 366 and all(b - a == timedelta(days=1) for a, b in pairwise(whole))


# -- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "region", "text", "wanted"),
    [
        ("eng_Latn", None, "1,234.56 and 5,000,000", "1234.56 and 5000000"),
        ("eng_Latn", "IN", "12,34,567", "1234567"),
        ("eng_Latn", "ZA", "1,5", "1.5"),
        ("eng_Latn", None, "1,5 and 12,34", "1,5 and 12,34"),
        ("deu_Latn", None, "1.234,5 und 12,5", "1234.5 und 12.5"),
        ("deu_Latn", None, "1.234", "1.234"),
        ("deu_Latn", "DE", "1.234 und 1.234.567", "1234 und 1234567"),
        ("deu_Latn", "CH", "1’234.5", "1234.5"),
        ("deu_Latn", "DE", "1,234", "1,234"),
        ("swe_Latn", None, "755,688 km", "755,688 km"),
        ("fra_Latn", None, "12\u202f345 et 1\u00a0234,5", "12345 et 1234.5"),
        ("fra_Latn", None, "le 12 345 mots", "le 12 345 mots"),
        ("fra_Latn", None, "12 345 €, 12 345,5", "12345 EUR, 12345.5"),
        ("spa_Latn", None, "1.234,56 y 1.234 y 3,14", "1234.56 y 1.234 y 3.14"),
        ("hin_Deva", None, "१२,३४,५६७.५", "1234567.5"),
        ("arb_Arab", None, "١٬٢٣٤٫٥", "1234.5"),
        ("pes_Arab", None, "۱۲۳٬۴۵۶", "123456"),
        ("mya_Mymr", None, "၁,၂၃၄", "1234"),
        ("jpn_Jpan", None, "１，２３４と29万1,890", "1234と291890"),
        ("jpn_Jpan", None, "3万5 と 7百", "3万5 と 7百"),
        ("eng_Latn", None, "−5,000 m", "-5000 m"),
        ("eng_Latn", None, "1,000-2,000", "1000-2000"),
    ],
)
def test_numbers(lang: str, region: str | None, text: str, wanted: str) -> None:
    assert rewritten(lang, text, region) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/1,234/5,678?x=1,000",
        "write to a1,000@example.org",
        "call +1 555,123,4567 or (030) 1,234 567",
        "192.168.1,000 and 1.2.3.4",
        "A4,500 and x1,000 and B_1,000",
        "at 10:30 and 3/4 and 2^1,000",
        "ISBN 978-3-16-148410-0, ABC-1,000",
        "1,000,5 and ,500",
        "ఆ౦తర౦గ",
    ],
)
@pytest.mark.parametrize("lang", ["eng_Latn", "tel_Telu", "deu_Latn"])
def test_what_is_no_number_is_left(text: str, lang: str) -> None:
    assert rewritten(lang, text, forms=Forms(dates=False, money=False)) == text


def test_a_sign_that_countries_read_differently_is_left() -> None:
    """4,800 is 4.8 in Madrid and 4800 in Mexico."""
    forms = Forms(dates=False, money=False)
    for text in ("4,800", "1.000", "12,345"):
        assert rewritten("spa_Latn", text, forms=forms) == text
    assert rewritten("spa_Latn", "4,800", "MX", forms=forms) == "4800"
    assert rewritten("spa_Latn", "1.000", "ES", forms=forms) == "1000"
    assert rewritten("spa_Latn", "4,800", "ES", forms=forms) == "4,800"


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("jpn_Jpan", "5億1万4千6百人"),
        ("zho_Hans", "5亿1万4千6百"),
        ("jpn_Jpan", "２.７８９０e－１"),
        ("jpn_Jpan", "１\u3000２３４\u3000５６７．８９"),
    ],
)
def test_a_piece_of_a_number_is_left(lang: str, text: str) -> None:
    assert rewritten(lang, text, forms=Forms(dates=False, money=False)) == text


# -- money and measures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "region", "text", "wanted"),
    [
        ("deu_Latn", None, "12,50 € und 3,5 Millionen Euro", "12.50 EUR und 3.5 Millionen EUR"),
        ("eng_Latn", None, "$5 and £5 and €5 and ₹5", "$5 and £5 and EUR 5 and INR 5"),
        ("eng_Latn", "US", "$1,234.50 and 5 dollars", "USD 1234.50 and 5 USD"),
        ("eng_Latn", "AU", "$5", "AUD 5"),
        ("eng_Latn", "US", "HK$ 5, a $5 bill, hk $ 7", "HKD 5, a $5 bill, hk $ 7"),
        ("eng_Latn", None, "TOP 10, TRY 2", "TOP 10, TRY 2"),
        ("eng_Latn", "US", "$3-5 million", "USD 3-5 million"),
        ("jpn_Jpan", None, "3万5,000円", "35000 JPY"),
        ("zho_Hans", None, "5美元和￥100", "5 USD和CNY 100"),
        ("spa_Latn", "MX", "$1,234.50", "MXN 1234.50"),
        ("eng_Latn", "GB", "5 pounds", "5 pounds"),
        ("rus_Cyrl", None, "10 долларов США", "10 USD"),
    ],
)
def test_money(lang: str, region: str | None, text: str, wanted: str) -> None:
    assert rewritten(lang, text, region) == wanted


@pytest.mark.parametrize(
    ("lang", "text", "sign", "si"),
    [
        ("eng_Latn", "5 miles", "5 mi", "8.05 km (5 miles)"),
        ("eng_Latn", "98 °F", "98 °F", "36.67 °C (98 °F)"),
        ("eng_Latn", "3 to 5 miles", "3 to 5 mi", "3 to 5 mi"),
        ("eng_Latn", "5 feet 3 inches", "5 feet 3 inches", "5 feet 3 inches"),
        (
            "eng_Latn",
            "5 in the morning, 2 in april, 5 m",
            "5 in the morning, 2 in april, 5 m",
            "5 in the morning, 2 in april, 5 m",
        ),
        ("hin_Deva", "5 किलोमीटर और 188 मील", "5 km और 188 mi", "5 km और 302.56 km (188 मील)"),
        ("jpn_Jpan", "時速188マイル", "188 mph", "302.56 km/h (時速188マイル)"),
        ("tha_Thai", "12 กม. และ 21 กรกฎาคม", "12 km และ 21 กรกฎาคม", "12 km และ 21 กรกฎาคม"),
        ("nya_Latn", "149 pa ola", "149 pa ola", "149 pa ola"),
        ("bam_Latn", "9000 St James", "9000 St James", "9000 St James"),
        ("pes_Arab", "۵ کیلومتر", "5 km", "5 km"),
    ],
)
def test_measures(lang: str, text: str, sign: str, si: str) -> None:
    assert rewritten(lang, text, forms=Forms(units="keep", numbers=False)) == text
    assert rewritten(lang, text, forms=Forms(units="sign")) == sign
    assert rewritten(lang, text, forms=Forms(units="si")) == si


# -- all of them ------------------------------------------------------------------------------------------------

PIECES = [
    *"12 345 1,234 1.234,5 １２ ١٢ १२ ,. -–/:()%$€£¥ °",
    *"3 April 2025 03/04/2025 3. 5 km miles feet € USD dollars million to and ฿ ปี".split(),  # noqa: SIM905
    *[
        "3 เมษายน 2568",
        "令和7年4月3日",
        "5 miles",
        "98 °F",
        "2025-04-03",
        "۱۴ فروردین ۱۴۰۴",
        "円",
        "万",
        "1\u202f234",
        "\u200e",
        "時速",
    ],
]


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map(" ".join)
    | st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.sampled_from(["eng_Latn", "deu_Latn", "fra_Latn", "tha_Thai", "jpn_Jpan", "pes_Arab", "hin_Deva"]),
    st.sampled_from([None, "US", "DE", "JP"]),
    st.sampled_from([Forms(), EVERYTHING, Forms(units="sign"), Forms(money=False)]),
)
def test_twice_is_once_and_the_rest_is_untouched(text: str, lang: str, region: str | None, forms: Forms) -> None:
    known = cldr.conventions(lang, region)
    assert known is not None
    once = rewrite(text, known, forms)
    assert rewrite(once, known, forms) == once
    values = find(text, known, forms)
    assert all(a.end <= b.start for a, b in pairwise(values))
    if not any(c.isdecimal() for c in text):
        assert once == text


@pytest.mark.parametrize(
    "text",
    ["1" * 60_000, "1," * 30_000, "3 April " * 10_000, "$" * 60_000, " 1" * 15_000, "(" * 30_000 + "5 miles"],
)
def test_long_runs_end(text: str) -> None:
    known = cldr.conventions("eng_Latn", "US")
    assert known is not None
    rewrite(text, known, EVERYTHING)


def test_a_language_that_cldr_does_not_know_has_no_conventions() -> None:
    assert cldr.conventions("ban_Latn") is None and cldr.conventions("xxx_Latn") is None
    assert sum(cldr.known(tag) for tag in cldr._bases()) > 250
