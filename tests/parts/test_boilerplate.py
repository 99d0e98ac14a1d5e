"""boilerplate: what is text stays in every script, what a source repeats goes, and nothing becomes empty unsaid."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.parts.steps import boilerplate
from isogloss.parts.steps.boilerplate import apply, decide, is_page, learned, main_content, summarise

pytest.importorskip("trafilatura", reason="the extra `text` is not installed")

SCHEMA = dict.fromkeys(("id", "source", "text", "drop"), pl.String)
# Header, menu, footer and words for text, of one script each.
SITES = {
    "Ethi": ("ዜና ማዕከል", "መነሻ | ዜና | ስፖርት | ስለ እኛ", "ሼር ያድርጉ", "ዝናብ ገበያ ተማሪ ከተማ ወንዝ መንገድ ቤት ልጅ ሰው ቀን"),
    "Tibt": ("གསར་འགྱུར་ལྟེ་གནས།", "གཙོ་ངོས། | གསར་འགྱུར། | ང་ཚོའི་སྐོར།", "འདི་བརྒྱུད་བསྐུར་བྱེད།", "ཆུ། རི། ཁང་པ། མི། དུས་ཚོད། ལམ། ཕྲུ་གུ། ཟླ་བ།"),
    "Jpan": (
        "毎日ニュース",
        "ホーム | ニュース | スポーツ | 会社概要",
        "この記事を共有する",
        "雨 市場 学生 町 川 道 家 子供 人 日",
    ),
    "Arab": (
        "مركز الأخبار",
        "الرئيسية | أخبار | رياضة | من نحن",
        "شارك هذا الخبر مع أصدقائك",
        "مطر سوق طالب مدينة نهر طريق بيت طفل",
    ),
    "Latn": (
        "Daily Tribune",
        "Home | News | Sport | About us",
        "Share this story with your friends",
        "rain market student town river road house child",
    ),
}


def frame(texts: list[str], source: str = "site") -> pl.DataFrame:
    rows = [{"id": f"{source}-{i}", "source": source, "text": text, "drop": None} for i, text in enumerate(texts)]
    return pl.DataFrame(rows, SCHEMA)


def run(rows: pl.DataFrame, **knobs: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    summaries = summarise(rows)
    pieces = [decide(piece) for piece in summaries.partition_by("bucket")] if summaries.height else [decide(summaries)]
    decision = pl.concat(pieces)
    return apply(rows, decision, **knobs), learned(decision)  # type: ignore[arg-type]


def site(script: str, n: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """Pages of a site as text, and what is text of them."""
    header, menu, footer, words = SITES[script]
    pages, bodies = [], []
    for i in range(n):
        lines = [
            " ".join(rng.choices(words.split(), k=rng.randint(3, 9))) + f" {i}{j}" for j in range(rng.randint(2, 9))
        ]
        bodies.append("\n".join(lines))
        pages.append("\n".join([header, menu, *lines, footer, f"© 2025 {header}"]))
    return pages, bodies


@pytest.mark.parametrize("script", SITES)
def test_what_a_source_repeats_goes_and_every_line_of_text_stays(script: str) -> None:
    pages, bodies = site(script, 60, random.Random(1))
    after, told = run(frame(pages))
    assert after["text"].to_list() == bodies and after["drop"].is_null().all()
    assert told.row(0)[:2] == ("site", 60) and told.row(0)[3] >= 0.5
    other, _ = run(pl.concat([frame(pages[:40]), frame(pages[40:45], "few")]))
    assert other["text"].to_list()[:40] == bodies[:40]
    assert SITES[script][0] in other["text"][40], "five documents are too few to learn from"


def test_one_source_says_nothing_of_another() -> None:
    pages, bodies = site("Latn", 30, random.Random(2))
    quotes = [f"Daily Tribune\nwrote about it {i}\nand more {i}" for i in range(3)]
    after, _ = run(pl.concat([frame(pages), frame(quotes, "blog")]))
    assert after["text"].to_list() == [*bodies, *quotes]


def test_a_section_that_a_third_of_the_pages_share_is_found_too() -> None:
    pages, bodies = site("Arab", 90, random.Random(3))
    box = "اقرأ أيضا: كل ما تريد معرفته عن الطقس هذا الأسبوع"
    pages = [page + ("\n" + box if i % 3 == 0 else "") for i, page in enumerate(pages)]
    after, told = run(frame(pages))
    assert after["text"].to_list() == bodies
    assert 0.3 < told["share of them"][0] < 0.4


def test_a_line_that_some_texts_happen_to_share_stays() -> None:
    rng = random.Random(4)
    pages, bodies = site("Ethi", 100, rng)
    for i in range(0, 100, 9):  # a saying in some of the texts, at any place
        lines = bodies[i].split("\n")
        lines.insert(rng.randrange(len(lines) + 1), "ቀስ በቀስ እንቁላል")
        bodies[i] = "\n".join(lines)
        header, menu, *_, footer, rights = pages[i].split("\n")
        pages[i] = "\n".join([header, menu, *lines, footer, rights])
    after, _ = run(frame(pages))
    assert after["text"].to_list() == bodies


def test_sentences_of_one_line_are_no_boilerplate_however_often_they_come() -> None:
    rows = frame(["नमस्ते"] * 200 + [f"वाक्य {i}" for i in range(50)] + ["दो पंक्ति\nका पाठ"] * 20)
    after, told = run(rows)
    assert after.equals(rows) and told.is_empty()


def test_a_document_of_nothing_but_boilerplate_is_dropped_and_keeps_its_text() -> None:
    pages, _ = site("Tibt", 40, random.Random(5))
    header, menu, footer, _ = SITES["Tibt"]
    empty = f"{header}\n{menu}\n{footer}"
    after, _ = run(frame([*pages, empty]))
    assert after["text"][-1] == empty
    assert after["drop"][
        -1
    ] == "nothing but boilerplate: 3 lines repeated in the source, 0 of navigation and notices" or (
        "nothing but boilerplate" in after["drop"][-1]
    )
    assert after["drop"].null_count() == 40


@pytest.mark.parametrize("seed", range(4))
def test_twice_is_once_and_no_order_or_cut_matters(seed: int) -> None:
    rng = random.Random(seed)
    pages, _ = site(rng.choice([*SITES]), 50, rng)
    rows = frame(pages)
    once, _ = run(rows)
    assert run(once)[0].equals(once)
    mixed = rows.sample(fraction=1, shuffle=True, seed=seed)
    cut = rng.randrange(50)
    shards = [mixed[:cut], mixed[cut:]]
    summaries = pl.concat([summarise(shard) for shard in shards])
    decision = pl.concat([decide(piece) for piece in summaries.partition_by("bucket")])
    after = pl.concat([apply(shard, decision) for shard in shards])
    assert after.sort("id").equals(once.sort("id"))


# -- at the edges -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Home | About | Contact",
        "Home › News › Floods",
        "Главная • Новости • Спорт • Контакты",
        "ホーム > ニュース > 天気",
        "© 2024 Example Ltd. All rights reserved.",
        "We use cookies to improve your experience on this website. Accept",
        "Мы используем файлы cookie. Продолжая пользоваться сайтом, вы соглашаетесь с этим.",
        "हम कुकी का उपयोग करते हैं। स्वीकार करें।",
        "当サイトではクッキーを使用しています。同意する",
        "เว็บไซต์นี้ใช้คุกกี้ ยอมรับ",
        "يستخدم هذا الموقع ملفات تعريف الارتباط. أوافق",
        "Bu site çerez kullanır. Kabul et",
    ],
)
def test_navigation_and_notices_go_at_prediction_too(line: str) -> None:
    body = "The river rose in the night.\nPeople left their houses.\nNobody was hurt."
    for text in (f"{line}\n{body}", f"{body}\n{line}", f"{line}\n\n{body}"):
        assert apply(frame([text]), None)["text"][0] == body
        assert apply(frame([text]), None, edges=False)["text"][0] == text


@pytest.mark.parametrize(
    "text",
    [
        "We ate cookies and drank milk.\nThen we slept.\nIt was good.",
        "Cookies for the whole family\nAccept no imitation: these cookies need butter.\nMix flour, sugar and butter.\nBake the cookies.",
        "Name\tAge\tTown\nAma\t12\tAccra\nKofi\t13\tKumasi\nand so on",
        "| a | b | c |\n| - | - | - |\n| 1 | 2 | 3 |\ntext",
        "a | b | c",
        "First she said this. | Then he said that. | And they left.\nsecond line\nthird line",
        "x > y > z holds\nfor all numbers\nof this kind",
        "one\ntwo",
        "",
    ],
)
def test_text_that_only_looks_a_little_like_it_stays(text: str) -> None:
    if text.startswith("x > y"):
        text = text.replace("x > y > z holds", "if x > y > z holds for all of them, nothing else does")
    assert apply(frame([text]), None)["text"][0] == text


# -- pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SITES)
def test_the_main_content_of_a_page(script: str) -> None:
    header, menu, footer, words = SITES[script]
    body = [" ".join(words.split()) + f" {i}" for i in range(4)]
    nav = "".join(f"<li><a href='/{i}'>{item}</a></li>" for i, item in enumerate(menu.split(" | ")))
    page = (
        f"<!doctype html><html><head><title>{header}</title><style>p {{}}</style><script>var x = '{header}'</script></head>"
        f"<body><nav><ul>{nav}</ul></nav><div id='cookie-banner'>cookies? <button>OK</button></div>"
        f"<article>{''.join(f'<p>{line}</p>' for line in body)}</article><footer>© 2025 {header} {footer}</footer></body></html>"
    )
    assert apply(frame([page]), None)["text"][0] == "\n".join(body)
    assert apply(frame([page]), None, html="keep", edges=False)["text"][0] == page


def test_pages_that_are_odd() -> None:
    odd = [
        "<html><body><script>1</script></body></html>",
        "<html>" + "<div>" * 3_000 + "deep" + "</div>" * 3_000,
        "<html><body class='cookie-consent nav'><p>Everything is inside.</p></body></html>",
        "<p>A piece of a page</p><p>of two paragraphs</p>",
        "<html><body><p>\x0b\x0c unclosed <b>text",
        "<!-- <html> -->",
        "a < b and c > d, </p>",
    ]
    after = apply(frame(odd), None)
    assert after["drop"][0] == "a page without main content" and after["text"][0] == odd[0]
    assert after["text"][2] == "Everything is inside."
    assert after["text"][3] == "A piece of a page\nof two paragraphs"
    assert "unclosed" in after["text"][4] and "<" not in after["text"][4]
    assert after["text"][6] == odd[6]
    assert main_content("") == "" and not is_page("")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab <>/|•©\n\tእcookie accept", max_size=30), max_size=8).map("\n".join))
def test_no_text_whatever_breaks_it(text: str) -> None:
    rows = frame([text] * 12)
    after, _ = run(rows)
    for new, why in after.select("text", "drop").iter_rows():
        assert new.strip() or why or not text.strip()
        assert why is None or new == text


def test_the_learned_threshold_is_the_lowest_gap_and_never_above_half() -> None:
    assert boilerplate._learned([], 100) == 50
    assert boilerplate._learned([2, 30, 31, 95], 100) == 30
    assert boilerplate._learned([2, 3, 5, 8, 13, 21, 34, 55, 89], 100) == 50
    assert boilerplate._learned([90], 100) == 50


@pytest.mark.parametrize("script", SITES)
def test_a_page_of_nothing_but_navigation_is_dropped(script: str) -> None:
    header, menu, footer, words = SITES[script]
    links = [piece.strip() for piece in menu.split("|")]
    items = "".join(f'<li><a href="/{i}">{text}</a></li>' for i, text in enumerate(links))
    story = " ".join(words.split() * 8)
    pages = {
        "nav": f"<html><body><nav><ul>{items}</ul></nav></body></html>",
        "role": f"<html><body><div role='navigation'><ul>{items}</ul></div><footer>{footer}</footer></body></html>",
        "list": f"<!DOCTYPE html><html><head><title>{header}</title></head><body><ul>{items}</ul></body></html>",
        "text": f"<html><body><nav><ul>{items}</ul></nav><p>{story}</p></body></html>",
    }
    after = apply(frame(list(pages.values())), None)
    assert after["drop"].to_list() == ["a page without main content"] * 3 + [None]
    assert after["text"].to_list()[:3] == list(pages.values())[:3], "what is dropped stays whole"
    assert " ".join(after["text"][3].split()) == story


@pytest.mark.parametrize("script", SITES)
def test_tags_in_plain_text_stay(script: str) -> None:
    word = SITES[script][3].split()[0]
    said = f"<div>{word}</div> {word} {word} {word} </p> {word}: <span>{word}</span>, {word} {word}"
    texts = [
        said,
        f"{word} <div> {word} </div> {word}",
        f"<body> {word} </body> {word} {word}",
        f"<b>{word}</b> {word}",
    ]
    after = apply(frame(texts), None)
    assert after["text"].to_list() == texts and after["drop"].is_null().all()
    piece = f"<div><p>{word} {word}</p><p>{word}</p></div>"
    assert "<" not in apply(frame([piece]), None)["text"][0]
