"""report.html in a real headless Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from isogloss.core import lang as lang_table
from isogloss.stages.pages import page
from isogloss.stages.pages.facts import Facts

if TYPE_CHECKING:
    from browser import Browser
    from page_runs import Made

# Every element with text of its own: the contrast of its colour with what lies behind it (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = (e) => {
    const layers = []; for (let x = e; x; x = x.parentElement) layers.push(rgba(getComputedStyle(x).backgroundColor));
    return layers.reduceRight((under, top) => over(top, under), [255, 255, 255]);
  };
  const low = {};
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility() || e.closest(".hidden, script, svg")) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const under = behind(e), a = light(over(rgba(getComputedStyle(e).color), under)), b = light(under);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low[e.tagName + "." + e.className] = ratio.toFixed(2);
  }
  return low;
})()"""
COLUMN = "[...document.querySelectorAll('#{table} tbody tr:not([hidden])')].map(r => r.cells[{at}].textContent.trim())"


def column(browser: Browser, table: str, at: int) -> list[str]:
    return list(browser.run(COLUMN.format(table=table, at=at)))


def first_numbers(cells: list[str]) -> list[float]:
    return [float(cell.split()[0].replace("−", "-").replace(",", "")) for cell in cells]


@pytest.fixture(params=["few", pytest.param("wide", marks=pytest.mark.slow), "pair", "tied"])
def file(request: pytest.FixtureRequest) -> Path:
    if request.param in ("wide", "tied"):
        alone: Made = request.getfixturevalue(request.param)
        return alone.run.folder / "report.html"
    few: dict[str, Made] = request.getfixturevalue("few")
    if request.param == "pair":
        return page.write_pair(few["a"].pair, few["b"].pair)
    return few["a"].run.folder / "report.html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_opens_without_errors_requests_or_overflow(browser: Browser, file: Path, width: int, dark: bool) -> None:
    browser.open(file, width=width, dark=dark)
    assert browser.errors == []
    assert browser.requests == [file.resolve().as_uri()]
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("window.hacked") is None
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (int(paper.split("(")[1].split(",")[0]) < 60) is dark


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast(browser: Browser, file: Path, dark: bool) -> None:
    browser.open(file, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.run(CONTRAST) == {}


def test_sorts_by_click(browser: Browser, few: dict[str, Made]) -> None:
    browser.open(few["a"].run.folder / "report.html")
    before = first_numbers(column(browser, "by-language", 2))
    assert before == sorted(before)
    button = "document.querySelectorAll('#by-language thead button')[{}]"
    for at in (2, 3):
        sort = f"document.querySelectorAll('#by-language thead th')[{at}].getAttribute('aria-sort')"
        browser.run(button.format(at) + ".click()")
        assert browser.run(sort) == "ascending"
        values = first_numbers(column(browser, "by-language", at))
        assert values == sorted(values)
        browser.run(button.format(at) + ".click()")
        assert browser.run(sort) == "descending"
        values = first_numbers(column(browser, "by-language", at))
        assert values == sorted(values, reverse=True)
    browser.run(button.format(0) + ".click()")
    names = column(browser, "by-language", 0)
    assert names == sorted(names)
    assert browser.run("document.querySelectorAll('#by-language [aria-sort]').length") == 1
    assert "Sorted by language, ascending" in browser.run("document.getElementById('status').textContent")
    assert browser.errors == []


def test_ranks_sort_by_click_and_are_drawn(browser: Browser, tied: Made) -> None:
    browser.open(tied.run.folder / "report.html")
    browser.run("document.querySelector('#ranks thead th:nth-child(3) button').click()")
    n_candidates = [int(cell) for cell in column(browser, "ranks", 2)]
    assert n_candidates == sorted(n_candidates) and len(set(n_candidates)) == 2
    assert browser.run("document.querySelector('#ranks th.drawn button')") is None
    widths = browser.run(
        "[...document.querySelectorAll('#ranks tbody tr')]"
        ".map(r => [...r.querySelectorAll('.stack i')].reduce((s, i) => s + i.getBoundingClientRect().width, 0)"
        " / r.querySelector('.stack').getBoundingClientRect().width)"
    )
    assert len(widths) == 4 and all(0.8 < share <= 1.001 for share in widths)
    assert browser.errors == []


def test_sorts_by_keyboard(browser: Browser, few: dict[str, Made]) -> None:
    browser.open(few["a"].run.folder / "report.html")
    browser.run("document.querySelectorAll('#by-language thead button')[0].focus()")
    browser.press("Enter", 13)
    names = column(browser, "by-language", 0)
    assert names == sorted(names)
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.textContent") == "n"
    browser.press(" ", 32)
    assert browser.run("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"


def test_a_language_without_a_value_sorts_last(browser: Browser, few: dict[str, Made]) -> None:
    browser.open(few["a"].run.folder / "report.html")
    browser.run("document.querySelector('#by-language tbody tr').cells[2].textContent = '–'")
    for _ in range(2):
        browser.run("document.querySelectorAll('#by-language thead button')[2].click()")
        assert column(browser, "by-language", 2)[-1] == "–"


@pytest.mark.slow
def test_finds_a_language(browser: Browser, wide: Made) -> None:
    browser.open(wide.run.folder / "report.html")
    assert len(column(browser, "by-language", 0)) == 205
    typed = (
        "(() => {{ const i = document.querySelector('#languages input');"
        " i.value = '{}'; i.dispatchEvent(new Event('input')); }})()"
    )
    browser.run(typed.format("_ETHI"))
    shown = column(browser, "by-language", 0)
    assert shown
    assert all("_Ethi" in name for name in shown)
    assert browser.run("document.querySelector('#languages .find-box span').textContent") == f"{len(shown)} of 205"
    browser.run(typed.format(""))
    assert len(column(browser, "by-language", 0)) == 205


def test_confusion_of_one_language(browser: Browser, few: dict[str, Made]) -> None:
    """The matrix follows the choice, and its labels stay text."""
    made = few["a"]
    browser.open(made.run.folder / "report.html")
    pooled = browser.run("document.querySelector('#matrix tbody').textContent")
    choose = "(() => {{ which.value = '{}'; which.dispatchEvent(new Event('change')); }})()"
    browser.run(choose.format("arb_Arab"))
    cells = browser.run(
        "[...document.querySelectorAll('#matrix tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    rows = Facts(*made.pair).answers.to_dicts()
    labels = Facts(*made.pair).labels
    for label, line in zip(labels, cells, strict=True):
        own = [row for row in rows if row["lang"] == "arb_Arab" and row["label"] == label]
        assert line == [label, *(str(sum(row["pred"] == other for row in own)) for other in labels), str(len(own))]
    assert "arb_Arab" in browser.run("document.querySelector('#matrix caption').textContent")
    browser.run(choose.format(""))
    assert browser.run("document.querySelector('#matrix tbody').textContent") == pooled
    assert browser.errors == []


def test_texts_stand_in_their_direction(browser: Browser, few: dict[str, Made]) -> None:
    browser.open(few["a"].run.folder / "report.html")
    names = [lang_table.facts(tag).bcp47 for tag in ("arb_Arab", "heb_Hebr", "eng_Latn", "tha_Thai")]
    found = dict(
        browser.run("[...document.querySelectorAll('td.text')].map(e => [e.lang, getComputedStyle(e).direction])")
    )
    assert [found[name] for name in names] == ["rtl", "rtl", "ltr", "ltr"]


def test_the_map_tells_a_point(browser: Browser, few: dict[str, Made]) -> None:
    browser.open(few["a"].run.folder / "report.html")
    assert browser.run("document.querySelectorAll('.world .p').length") == 4
    browser.run("document.querySelector('.world .p').dispatchEvent(new Event('pointerover', {bubbles: true}))")
    assert "n = 24" in browser.run("document.querySelector('.readout').textContent")


def test_reads_without_javascript(browser: Browser, few: dict[str, Made]) -> None:
    """Nothing that needs the script is on screen without it, and everything else is."""
    file = few["a"].run.folder / "report.html"
    browser.open(file, script=False)
    root = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]
    html = browser.call("DOM.getOuterHTML", nodeId=root)["outerHTML"]
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "<button" not in html
    assert "<input" not in html
    assert '<p class="js" hidden="">' in html
    assert "0." in html.split('id="by-language"')[1].split("</table>")[0]
    assert browser.errors == []


def test_prints(browser: Browser, few: dict[str, Made]) -> None:
    """Folded parts unfold on paper and fold again; what one clicks is left out; nothing scrolls."""
    browser.open(few["a"].run.folder / "report.html")
    folded = browser.run("document.querySelectorAll('details:not([open])').length")
    assert folded > 1
    assert browser.pdf().startswith(b"%PDF-")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == folded
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("document.querySelectorAll('details:not([open])').length") == 0
    browser.media("print")
    assert browser.run("[...document.querySelectorAll('nav, .js')].every(e => getComputedStyle(e).display === 'none')")
    assert browser.run(
        "[...document.querySelectorAll('.scroll')].every(e => getComputedStyle(e).overflowX === 'visible')"
    )
    browser.media("")


def test_motion_is_left_out_where_it_is_not_wanted(browser: Browser, few: dict[str, Made]) -> None:
    browser.open(few["a"].run.folder / "report.html")
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert browser.run(behaviour) == "smooth"
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    assert browser.run(behaviour) == "auto"
