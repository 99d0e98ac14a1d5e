"""pii: what is found in which script, what is left alone, and what stands there instead."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core.errors import DataError, MissingError, RecipeError
from isogloss.core.pii import find as finding
from isogloss.core.pii.find import find
from isogloss.core.pii.plain import plain
from isogloss.parts.steps import pii


def found(text: str, lang: str = "und", *countries: str) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in find(text, lang, countries)]


@pytest.mark.parametrize(
    ("text", "lang", "wanted"),
    [
        ("Write to Anna.K+x@post.co.uk, please.", "eng_Latn", [("email", "Anna.K+x@post.co.uk")]),
        ("पता: राम@डाटा.भारत", "hin_Deva", [("email", "राम@डाटा.भारत")]),
        ("邮箱ａｂｃ＠ｑｑ．ｃｏｍ谢谢", "zho_Hans", [("email", "ａｂｃ＠ｑｑ．ｃｏｍ")]),
        ("(see https://a.org/x_(y)?q=1).", "eng_Latn", [("url", "https://a.org/x_(y)?q=1")]),
        ("انظر http://www.nhc.gov.cn، ثم", "arb_Arab", [("url", "http://www.nhc.gov.cn")]),
        ("微软的官网是microsoft.com哦", "zho_Hans", [("url", "microsoft.com")]),
        ("смотри пример.рф/путь сегодня", "rus_Cyrl", [("url", "пример.рф/путь")]),
        ("from 192.168.10.7/24 and fe80::1", "eng_Latn", [("ip", "192.168.10.7"), ("ip", "fe80::1")]),
        ("DE89 3704 0044 0532 0130 00 by Friday", "deu_Latn", [("iban", "DE89 3704 0044 0532 0130 00")]),
        ("Karte 4111-1111-1111-1111.", "deu_Latn", [("card", "4111-1111-1111-1111")]),
        ("(140 4111 1111 1111 1111 km)", "deu_Latn", [("card", "4111 1111 1111 1111")]),
        ("CPF 529.982.247-25", "por_Latn", [("id", "529.982.247-25")]),
        ("身份证11010519491231002X。", "zho_Hans", [("id", "11010519491231002X")]),
        ("اتصل على ٠٥٠١٢٣٤٥٦٧ الآن", "arb_Arab", [("phone", "٠٥٠١٢٣٤٥٦٧")]),
        ("মোবাইল: ০১৭১২-৩৪৫৬৭৮", "ben_Beng", [("phone", "০১৭১২-৩৪৫৬৭৮")]),
        ("ስልክ 0911 23 45 67 ይደውሉ", "amh_Ethi", [("phone", "0911 23 45 67")]),
        ("โทร ๐๘๑-๒๓๔-๕๖๗๘ ครับ", "tha_Thai", [("phone", "๐๘๑-๒๓๔-๕๖๗๘")]),
        (
            "Ring +46 8 123 456 78 or 08-12 34 56 7",
            "swe_Latn",
            [("phone", "+46 8 123 456 78"), ("phone", "08-12 34 56 7")],
        ),
        (
            "anna\u200b@mail\u00ad.org, li@mail.org\u200bnext",
            "eng_Latn",
            [("email", "anna\u200b@mail\u00ad.org"), ("email", "li@mail.org")],
        ),
        ("ទៅ\u200banna@mail.org\u200bទៅ", "khm_Khmr", [("email", "anna@mail.org")]),
        (
            "+49 30\u200b 90\u00ad18\u200b20, 4111\u00ad 1111\u200b 1111 1111",
            "eng_Latn",
            [("phone", "+49 30\u200b 90\u00ad18\u200b20"), ("card", "4111\u00ad 1111\u200b 1111 1111")],
        ),
        (
            "de89 3704 0044 0532 0130 00 and es91 2100 0418 4502 0005 1332 from here",
            "eng_Latn",
            [("iban", "de89 3704 0044 0532 0130 00"), ("iban", "es91 2100 0418 4502 0005 1332")],
        ),
        (
            "anna [at] mail [dot] org, or li(at)post.de",
            "eng_Latn",
            [("email", "anna [at] mail [dot] org"), ("email", "li(at)post.de")],
        ),
        (
            "anna.k (arroba) mail (punto) com o ana @ correo.es",
            "spa_Latn",
            [("email", "anna.k (arroba) mail (punto) com"), ("email", "ana @ correo.es")],
        ),
        ("пишите: иван [собака] почта [точка] рф", "rus_Cyrl", []),
        ("пишите: ivan [собака] mail [точка] ru", "rus_Cyrl", [("email", "ivan [собака] mail [точка] ru")]),
        ("site.org/?e=anna%40mail.org", "eng_Latn", [("email", "anna%40mail.org")]),
        ("go to x.org?to=anna.k@mail.org&b=1", "eng_Latn", [("email", "anna.k@mail.org")]),
        ("tel. 030 901820\u200e, 030 901821", "deu_Latn", [("phone", "030 901820"), ("phone", "030 901821")]),
    ],
)
def test_found_in_any_script(text: str, lang: str, wanted: list[tuple[str, str]]) -> None:
    assert found(text, lang) == wanted


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("On 03.04.2025 and 2025-04-03 12:30, 1998-2001.", "eng_Latn"),
        ("It has 12 345 678 people, 1,234,567.89 of them here; 3.14159265", "eng_Latn"),
        ("ISBN 978-3-16-148410-0 costs $1234567", "eng_Latn"),
        ("The end.It was late. e.g. this, i.e. that; setup.py and README.md", "eng_Latn"),
        ("Es war 12:30:45 Uhr, std::vector, a::b", "deu_Latn"),
        ("4111 1111 1111 1112 is no card, DE88 3704 0044 0532 0130 00 no account", "eng_Latn"),
        ("529.982.247-26 does not pass", "por_Latn"),
        ("999.1.1.1 or 1.2.3 or v1.2.3.4.5", "eng_Latn"),
        ("人口は12,345,678人、2019年12月31日", "jpn_Jpan"),
        ("@anna #tag anna@ @org", "eng_Latn"),
        ("Look [at] the thing (at last) at noon dot. We met @ Home. In town", "eng_Latn"),
        ("12 " * 500, "eng_Latn"),
        ("0.0254458924065, 0.049309018201234 and 0.4444921097596643", "eng_Latn"),
        ("", "eng_Latn"),
    ],
)
def test_left_alone(text: str, lang: str) -> None:
    assert found(text, lang) == []


def test_a_country_decides_what_its_form_does_not() -> None:
    assert found("Haus 0512 345678.", "und") == [] == found("Haus 0512 345678.", "und", "US")
    assert (
        found("Haus 0512 345678.", "und", "AT") == [("phone", "0512 345678")] == found("Haus 0512 345678.", "deu_Latn")
    )
    assert found("12345678903 naqd", "und") == [] and found("12345678903 je", "hrv_Latn") == [("id", "12345678903")]


def test_every_form_of_a_national_number_has_its_check() -> None:
    numbers = finding._numbers()
    assert len({number.module for number in numbers}) == 63 and len({number.country for number in numbers}) == 59
    for number in numbers:
        assert callable(finding._checker(number.module).is_valid), number.module


def test_a_plain_text_keeps_every_place() -> None:
    text = "".join(chr(i) for i in range(0x20, 0x20000) if unicodedata.category(chr(i))[0] != "C")
    flat = plain(text)
    assert len(flat) == len(text)
    assert all(
        flat[i] == str(unicodedata.decimal(c)) for i, c in enumerate(text) if unicodedata.decimal(c, None) is not None
    )


def frame(*texts: str | None, lang: str | None = "eng_Latn") -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [str(i) for i in range(len(texts))], "text": texts, "lang": [lang] * len(texts)},
        schema_overrides={"text": pl.String, "lang": pl.String},
    )


def run(*texts: str | None, **knobs: Any) -> list[str | None]:
    return pii.apply(frame(*texts), **knobs)["text"].to_list()


@pytest.mark.parametrize(
    "forms",
    [
        ("030 901820", "030/90 18 20", "(030) 901820", "+49 30 901820", "0049-30-901820", "+49 (0)30 901820", "+49 30\u200b 901\u00ad820"),
        ("anna@mail.org", "Anna @ mail.org", "anna [at] mail [dot] org", "anna\u200b@mail.org", "ａｎｎａ＠mail.org"),
        ("DE89370400440532013000", "de89 3704 0044 0532 0130 00", "DE89-3704-0044-0532-0130-00"),
        ("4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "٤١١١ ١١١١ ١١١١ ١١١١"),
    ],
)  # fmt: skip
def test_one_value_has_one_pseudonym_however_it_is_written(forms: tuple[str, ...]) -> None:
    values = {form: [span.value for span in find(f"Tel. oder Adresse: {form}", "deu_Latn")] for form in forms}
    assert len({tuple(value) for value in values.values()}) == 1, values
    assert len(values[forms[0]]) == 1


MIXED = "Mail anna@mail.org, call +49 30 901820 or see bit.ly; card 4111 1111 1111 1111."


def test_actions(tmp_path: Path) -> None:
    assert run(MIXED) == ["Mail [EMAIL], call [PHONE] or see [URL]; card [CARD]."]
    assert run(MIXED, action="mask") == [
        "Mail ****@****.***, call +** ** ****** or see ***.**; card **** **** **** ****."
    ]
    assert run(MIXED, kinds=["email", "ip"]) == [
        "Mail [EMAIL], call +49 30 901820 or see bit.ly; card 4111 1111 1111 1111."
    ]
    tagged = pii.apply(frame(MIXED, "nothing", None), action="tag")
    assert tagged["text"].to_list() == [MIXED, "nothing", None]
    assert tagged["pii"].to_list() == ["email 1, url 1, card 1, phone 1", None, None]


def test_pseudonyms_are_the_same_for_the_same_value_and_key(tmp_path: Path) -> None:
    one, two, short = tmp_path / "one.key", tmp_path / "two.key", tmp_path / "short.key"
    one.write_bytes(b"0123456789abcdef\n")
    two.write_bytes(b"z" * 200)
    short.write_bytes(b"abc")
    texts = (
        "to ANNA@mail.org",
        "from anna@MAIL.org",
        "tel +49 (30) 901820",
        "tel ＋４９ 30-901820",
        "tel +49 30 901821",
    )
    a, b, c, d, e = run(*texts, action="pseudonym", key_file=one)
    assert str(a).split()[1] == str(b).split()[1] and str(c).split()[1] == str(d).split()[1] != str(e).split()[1]
    assert run(texts[0], action="pseudonym", key_file=two) != [a]
    assert "anna" not in str(a).lower() and str(a).startswith("to [EMAIL:")
    with pytest.raises(DataError, match="has 3 bytes; it needs 16"):
        run(*texts, action="pseudonym", key_file=short)
    with pytest.raises(MissingError, match=r"nokey cannot be read"):
        run(*texts, action="pseudonym", key_file=tmp_path / "nokey")
    with pytest.raises(RecipeError, match="pseudonym needs key_file"):
        pii.check(action="pseudonym")
    with pytest.raises(RecipeError, match="two capitals such as DE, got 'de'"):
        pii.check(countries=["de"])
    assert str(run(texts[0], action="pseudonym")[0]).startswith("to [EMAIL:"), (
        "a model has no key, and hides all the same"
    )


PIECES = ["anna@mail.org", "phone", "电话", "+49 30 901820", "0301234567", "٠٥٠١٢٣٤٥٦٧", "bit.ly", "4111 1111 1111 1111", "8.8.8.8", " ", ",", ".", "(", ")", "-", "12", "345678", "7654321", "a", "ж", "中", "\n", "@", "/", ":", "https://", "CPF", "529.982.247-25", "[PHONE]"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=14).map(lambda p: " ".join(p))
    | st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
)
def test_what_is_hidden_is_hidden_once_and_the_rest_stays(text: str) -> None:
    spans = find(text, "deu_Latn")
    assert all(a.end <= b.start for a, b in pairwise(spans)) and all(s.start < s.end for s in spans)
    for action in ("redact", "mask"):
        once = run(text, action=action)
        assert run(*once, action=action) == once
        assert spans or once == [text]


def test_a_long_line_takes_time_by_its_length() -> None:
    for piece in ("a.", "1 ", "a@", "1-", "(1", "1.1.", "::", "http://", "A1", "1:", "..", "+1"):
        find(piece * 20_000, "deu_Latn")


@given(st.text(alphabet="a()[].,/", max_size=30))
def test_an_address_ends_before_marks_and_brackets_that_it_does_not_open(tail: str) -> None:
    address = "http://a.com/" + tail
    trimmed = finding._trimmed(address)
    assert address.startswith(trimmed)
    for end in range(len(address), len(trimmed), -1):
        last, before = address[end - 1], address[:end]
        assert last in ".," or before.count(last) > before.count({")": "(", "]": "["}[last])
    last = trimmed[-1]
    assert last not in ".," and (last not in ")]" or trimmed.count(last) <= trimmed.count({")": "(", "]": "["}[last]))


def test_many_closing_brackets_are_read_once() -> None:
    text = "http://a.com/" + ")" * 2_000_000
    assert found(text, "eng_Latn") == [("url", "http://a.com/")]


@pytest.mark.parametrize(
    "address",
    ["https://anna:secret@mail.org/in", "https://a.org/u/anna@mail.org/orders?q=1", "ftp://x.org/?to=anna@mail.org"],
)
def test_an_email_inside_an_address_goes_with_the_whole_address(address: str) -> None:
    text = f"see {address} or bob@mail.org"
    assert found(text, "eng_Latn") == [("url", address), ("email", "bob@mail.org")]
    assert [(s.kind, s.start, s.end) for s in find(text, "eng_Latn", kinds=["url"])] == [("url", 4, 4 + len(address))]
    without = [text[s.start : s.end] for s in find(text, "eng_Latn", kinds=["email"])]
    assert len(without) == 2 and without[0].endswith("mail.org") and without[1] == "bob@mail.org"


@pytest.mark.parametrize("address", ["bob%40example.com", "bob&#64;example.com", "B.Ob%40example.com"])
def test_an_email_address_in_the_writing_of_urls_and_pages(address: str) -> None:
    (span,) = find(f"to {address}, please", "eng_Latn")
    assert (span.kind, span.start, span.end) == ("email", 3, 3 + len(address))
    assert span.value == address.lower().replace("%40", "@").replace("&#64;", "@")


def test_a_card_in_groups_with_dots_needs_its_check_digit() -> None:
    assert found("card 4111.1111.1111.1111.", "eng_Latn") == [("card", "4111.1111.1111.1111")]
    assert "card" not in dict(found("4111.1111.1111.1112 or 4111.1111-1111.1111", "eng_Latn"))
