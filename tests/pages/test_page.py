"""report.html without a browser: what it says, that it is whole and safe, and how large it is."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page_runs import Made, make, rows, write

from isogloss.core import lang as lang_table
from isogloss.stages import compare
from isogloss.stages.pages import answers, course, page, scores, worldmap
from isogloss.stages.pages.facts import Facts, clip
from isogloss.stages.pages.html import signed

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Tree(HTMLParser):
    """Checks that every element is closed where it must be, and remembers attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if len(given) < len(attrs):
            self.problems.append(f"an attribute twice in {tag} {attrs}")
        self.elements.append((tag, given))
        if given.get("id"):
            self.ids[str(given["id"])] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> at {self.getpos()} closes something else")


def read(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    tree.close()
    return tree


def text_of(html: str) -> str:
    """What a reader sees, roughly."""
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.fixture(params=["few", pytest.param("wide", marks=pytest.mark.slow), "pair", "tied"])
def html(request: pytest.FixtureRequest) -> str:
    if request.param == "pair":
        few: dict[str, Made] = request.getfixturevalue("few")
        return page.write_pair(few["a"].pair, few["b"].pair).read_text(encoding="utf-8")
    if request.param == "few":
        few = request.getfixturevalue("few")
        return few["a"].html
    alone: Made = request.getfixturevalue(request.param)
    return alone.html


def test_the_page_is_whole(html: str) -> None:
    tree = read(html)
    assert tree.problems == []
    assert tree.open == []
    assert [name for name, n in tree.ids.items() if n > 1] == []
    targets = {a["href"] for tag, a in tree.elements if tag == "a"}
    assert len(targets) > 5
    assert {t for t in targets if t and t[1:] not in tree.ids} == set()


def test_the_page_asks_for_nothing(html: str) -> None:
    """No address, no element that loads, and a policy that would stop one."""
    tree = read(html)
    assert not [a for tag, a in tree.elements if tag in ("img", "iframe", "object", "embed", "base", "form")]
    assert [a["href"] for tag, a in tree.elements if tag == "link"] == ["data:,"]
    assert not [a for tag, a in tree.elements if tag == "script" and "src" in a]
    assert re.search(r"https?://|@import|url\(", html) is None
    policy = next(a["content"] for tag, a in tree.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_every_table_has_a_caption_and_heads_with_scope(html: str) -> None:
    tree = read(html)
    tables = sum(tag == "table" for tag, _ in tree.elements)
    assert tables >= 3
    assert sum(tag == "caption" for tag, _ in tree.elements) == tables
    assert [a for tag, a in tree.elements if tag == "th" and a.get("scope") not in ("row", "col")] == []
    assert re.findall(r"<caption[^>]*>\s*</caption>", html) == []


@pytest.mark.slow
def test_size(wide: Made) -> None:
    """Below 2 MB with 205 languages, seven metrics, four baselines and a long training; every language is there."""
    langs = Facts(*wide.pair).langs
    assert len(Facts(*wide.pair).systems) == 5
    score = {"value": 0.123456, "low": 0.023456, "high": 0.223456, "n": 99}
    steps = "".join(json.dumps({"step": s, "dev": dict.fromkeys(langs, score)}) + "\n" for s in range(0, 3000, 10))
    path = wide.run.folder / "steps.jsonl"
    path.write_text(steps, encoding="utf-8")
    html = page.page(*wide.pair)
    path.unlink()
    assert html.count("<polyline") == 205
    assert len(html.encode()) < 2_000_000
    assert len({a["id"] for tag, a in read(wide.html).elements if tag == "th" and a.get("id")}) == 205


def test_texts_labels_and_licences_are_escaped(few: dict[str, Made]) -> None:
    html = few["a"].html
    assert "<script>window" not in html
    assert "&lt;script&gt;window.hacked = 1&lt;/script&gt;" in html
    assert "yes &amp; &#34;no&#34;" in html
    shared = re.search(r'<script id="shared" type="application/json">(.*?)</script>', html, re.S)
    assert shared is not None
    assert "<" not in shared[1]
    assert json.loads(shared[1])["labels"] == sorted(json.loads(shared[1])["labels"])
    assert len(json.loads(shared[1])["langs"]["arb_Arab"]) == 9


def test_names_of_languages_are_escaped(few: dict[str, Made], monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    real = lang_table.facts

    def named(tag: str) -> lang_table.Lang:
        return dataclasses.replace(real(tag), name="<b>Nameless</b>", endonym="<i>x</i>", bcp47='"><u>')

    monkeypatch.setattr(lang_table, "facts", named)
    html = page.page(*few["a"].pair)
    assert "&lt;b&gt;Nameless&lt;/b&gt;" in html
    assert "<b>Nameless" not in html
    assert "<i>x" not in html
    assert '"><u>' not in html
    assert read(html).problems == []


def test_direction_and_language_of_texts(few: dict[str, Made]) -> None:
    """A text is set in its own direction and says its language; so do endonyms."""
    cells = [a for tag, a in read(few["a"].html).elements if tag == "td" and a.get("class") == "text"]
    assert len(cells) >= 8
    directions = {a["lang"]: a["dir"] for a in cells}
    expected = {
        lang_table.facts(tag).bcp47: lang_table.facts(tag).direction for tag in ("arb_Arab", "heb_Hebr", "eng_Latn")
    }
    assert {k: v for k, v in directions.items() if k in expected} == expected
    assert set(expected.values()) == {"rtl", "ltr"}
    assert re.search(r'<bdi lang="\S+" dir="rtl">العربية', few["a"].html)


def test_what_a_report_must_say(few: dict[str, Made]) -> None:
    """Verdict first, then every part that the data allows."""
    html, text = few["a"].html, text_of(few["a"].html)
    ids = [
        "verdict",
        "languages",
        "map",
        "baselines",
        "slices",
        "confusion",
        "consistency",
        "lengths",
        "fairness",
        "curves",
        "fit",
        "data",
        "made",
    ]
    assert re.findall(r'<section id="(\w+)"', html) == ids
    order = re.findall(r'<th scope="row" id="(\w+)"', html)
    values = {
        key[2]: row["value"] for key, row in Facts(*few["a"].pair).cells.items() if key[:2] == ("model", "macro_f1")
    }
    assert order == sorted(values, key=lambda tag: (values[tag], tag))
    for tag, value in values.items():
        assert tag in text
        assert f"{value:.3f}" in text
    for words in (
        "standardise",
        "rows in",
        "set aside",
        "isogloss run recipe.toml",
        "units:group",
        "CC0",
        "seconds in all",
    ):
        assert words in text, words
    assert text.index(scores.verdict(Facts(*few["a"].pair))["first"]) < text.index("By language, the worst first")


def test_a_run_without_labels_has_no_part_about_labels(tied: Made) -> None:
    """What is looked for, among how many, and what is not scored; nothing of labels, and no hole where it was."""
    html, text = tied.html, text_of(tied.html)
    ids = re.findall(r'<section id="(\w+)"', html)
    parts = [
        "languages",
        "map",
        "baselines",
        "slices",
        "found",
        "lengths",
        "curves",
        "fit",
        "tokenizer",
        "data",
        "made",
    ]
    assert ids == ["verdict", *parts]
    for word in ("label", "majority", "macro_f1", "Confusion", "Consistency", "Fairness", "None", "nan"):
        assert word not in text, word
    assert "24 to 26 candidates" in text and "2 of 98 test rows say what no other language has" in text
    assert "2 in eng_Latn" in text and "character n-grams" in text
    found = answers.found(Facts(*tied.pair))
    for row in found["rows"]:
        assert sum(band["n"] for band in row["bands"]) == row["n_ranked"] == 24
        assert sum(band["share"] for band in row["bands"]) == pytest.approx(1)
        assert row["n_candidates"] == (24 if row["tag"] == "eng_Latn" else 26)
    assert found["misses"] and all(miss["rank"] > 1 and miss["found"]["text"] for miss in found["misses"])
    assert "<script>window" not in html


def test_n_stands_beside_every_score(few: dict[str, Made]) -> None:
    """The tables of scores have a column n; figures of the summary name theirs."""
    html = few["a"].html
    for name in ("by-language", "pairs", "length-table", "worst-cells", "mistakes", "against-majority"):
        table = re.search(rf'<table id="{name}".*?</thead>', html, re.S)
        assert table is not None, name
        assert '<th scope="col">n</th>' in table[0], name
    figures = re.search(r'<dl class="figures">.*?</dl>', html, re.S)
    assert figures is not None
    assert figures[0].count("n&nbsp;=&nbsp;") == figures[0].count("<dt>") >= 4


def test_learning_curves_survive_a_cut_line(few: dict[str, Made]) -> None:
    found = course.curves(Facts(*few["a"].pair))
    assert found is not None
    assert [chart["n_points"] for chart in found["charts"]] == [3, 3, 3, 3]
    assert {chart["last"]["value"] for chart in found["charts"]} == {0.5}
    assert {chart["last"]["n"] for chart in found["charts"]} == {12}
    assert course.curves(Facts(*few["b"].pair)) is None
    assert 'id="curves"' not in few["b"].html


def test_consistency_counts_pairs(few: dict[str, Made]) -> None:
    """Against a count by hand, and the examples show every answer of a group."""
    facts = Facts(*few["a"].pair)
    found = answers.consistency(facts)
    assert found is not None
    said = {(row["group"], row["lang"]): row["pred"] for row in facts.answers.to_dicts()}
    groups = {group for group, _ in said}
    for pair in found["pairs"]:
        a, b = pair["a"]["tag"], pair["b"]["tag"]
        same = sum(said[g, a] == said[g, b] for g in groups)
        assert (pair["n"], pair["value"]) == (len(groups), pytest.approx(same / len(groups)))
    assert found["n_split"] == sum(len({said[g, tag] for tag in {t for _, t in said}}) > 1 for g in groups)
    for example in found["examples"]:
        assert len(example["counts"]) > 1
        assert {row["pred"] for row in example["rows"]} == {answer for answer, _ in example["counts"]}
        assert sum(n for _, n in example["counts"]) == example["n"]


def test_confusion_adds_up(few: dict[str, Made]) -> None:
    facts = Facts(*few["a"].pair)
    found = answers.confusion(facts)
    assert found is not None
    assert sum(map(sum, found["pooled"])) == facts.answers.height
    right = sum(found["pooled"][i][i] for i in range(len(found["labels"])))
    assert right == facts.answers.filter(facts.answers["label"] == facts.answers["pred"]).height
    for row in found["rows"]:
        assert row["wrong"] >= sum(mistake["n"] for mistake in row["mistakes"])


def test_many_labels_are_listed_not_drawn(few: dict[str, Made], monkeypatch: pytest.MonkeyPatch) -> None:
    """Above `MAX_MATRIX` there is no matrix of labels, nor of languages, and the page stays whole."""
    monkeypatch.setattr(answers, "MAX_MATRIX", 2)
    html = page.page(*few["a"].pair)
    assert read(html).problems == []
    assert 'id="matrix"' not in html
    assert 'id="agree"' not in html
    assert 'id="shared"' not in html
    assert 'id="mistakes"' in html
    assert 'id="pairs"' in html


def test_tokens_per_word_are_shown_when_the_card_knows_them(few: dict[str, Made]) -> None:
    made = few["b"]
    assert "tokens per word</th>" not in made.html
    facts = Facts(*made.pair)
    facts.__dict__["card"] = {**facts.card, "tokens_per_word": {"arb_Arab": 2.5, "eng_Latn": 1.25, "heb_Hebr": 3.0}}
    found = scores.lengths(facts)
    assert {row["tag"]: row["tokens"] for row in found["rows"]}["arb_Arab"] == 2.5
    assert found["plot"]["x"] == "tokens per word"
    assert len(found["plot"]["points"]) == 3
    assert {row["tag"]: row["per_word"] for row in found["rows"]}["tha_Thai"] is None  # no spaces between words


def test_one_language_alone(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", rows(["amh_Ethi"], ["x", "y"], {"train": 6, "test": 6}))
    html = make(tmp_path, "alone", data, ["amh_Ethi"]).html
    assert read(html).problems == []
    assert 'id="consistency"' not in html
    assert "1 language " in text_of(html)


def test_clip_keeps_clusters_whole() -> None:
    assert clip("กำ" * 9, 2) == "กำ" * 2 + "…"
    family = "\U0001f468‍\U0001f469‍\U0001f467"
    assert clip(family * 9, 2) == family * 2 + "…"
    assert clip("a\x07b\x1bc") == "a b c"


@pytest.mark.parametrize("tag", ["quy_Latn", "mri_Latn", "eng_Latn", "jpn_Jpan", "fij_Latn", "haw_Latn"])
def test_places_lie_on_the_map(tag: str) -> None:
    row = lang_table.facts(tag)
    assert row.longitude is not None
    assert row.latitude is not None
    x, y = worldmap.project(row.longitude, row.latitude)
    assert 0 <= x <= worldmap.WIDTH
    assert 0 <= y <= worldmap.HEIGHT


def test_the_outline_is_small_and_has_its_source() -> None:
    path = Path(worldmap.__file__).parents[2] / "assets" / "outline" / "land-110m.txt"
    assert path.stat().st_size < 60_000
    assert "Natural Earth" in path.read_text(encoding="ascii")
    assert re.fullmatch(r"(M[-\d.]+ ?[-\d.]+l[-\d. ]+z)+", worldmap.outline())


def test_points_keep_apart_and_stay_near() -> None:
    import math

    given = [(100.0, 100.0)] * 5 + [(104.0, 100.0), (500.0, 200.0)]
    moved = worldmap.apart(given, 9.5)
    assert min(math.dist(a, b) for i, a in enumerate(moved) for b in moved[:i]) > 9.0
    assert max(math.dist(a, b) for a, b in zip(given, moved, strict=True)) < 30
    assert moved[-1] == given[-1]


def test_two_runs_on_one_page(few: dict[str, Made]) -> None:
    path = page.write_pair(few["a"].pair, few["b"].pair)
    assert path == few["a"].run.folder / "report-vs-b.html"
    text = text_of(path.read_text(encoding="utf-8"))
    found = compare.compare([few["a"].pair, few["b"].pair])
    for row in found["comparisons"][0]["langs"]:
        assert row["lang"] in text
        assert signed(row["diff"]) in text
    assert "model.scope" in text
    assert "pooled" in text
