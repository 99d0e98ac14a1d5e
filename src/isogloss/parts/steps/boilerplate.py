"""Take the text out of pages: main content of HTML, no navigation or cookie notices, no lines repeated across a source.

1. A text that is a page in HTML becomes its main content (trafilatura). A page without any text is dropped.
2. In the first and last lines of a text of several lines, menus (Home | About | Contact), paths (Home › News) and notices of
   copyright and of cookies go.
3. Lines that many documents of one source share go: headers, footers, menus, advertisements. How many are many is learned for each
   source with `min_docs` documents or more: lines of text are shared by few documents and boilerplate by many, and
   between the two there is a gap. A line counts as boilerplate when it stands in at least as many documents as the lines
   above that gap, or in half of all, and is long, or always at the same distance from the beginning or the end.

Documents of fewer than three lines count for nothing in 3 and lose no line: one sentence said twice is a duplicate, not
boilerplate. Lines are compared after NFKC, case and white space. A document of which nothing would stay is dropped with
a reason, and its text stays whole. Text that stays is not changed, but for the empty lines that would begin or end it.

At prediction there is no source to compare with, so 1 and 2 apply.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from isogloss.core import near as _near

if TYPE_CHECKING:
    import polars as pl

VERSION = 2
REWRITES = True
CUTS = True

Html = Literal["auto", "keep"]
# Lines at the beginning and the end in which navigation and notices are looked for.
EDGE = 8
# A document has so many lines, a line so many characters, or it is passed over.
FEWEST_LINES, LONGEST = 3, 600
# The share of a piece of HTML that may stand outside its elements; characters of the longest page of links alone.
OUTSIDE, MENU = 0.05, 4000
# The gap between text and boilerplate: so many times as many documents.
GAP = 3.0
# The smallest share of documents that boilerplate may have, and the share that is boilerplate, gap or no gap.
LOWEST, HALF = 0.05, 0.5
# Sources are decided about in so many lots.
BUCKETS = 64
# Characters (of syllables and words: two) from which a line is long, and lines by which a short one may wander.
LONG, WANDER = 20, 2.0


# -- pages ------------------------------------------------------------------------------------------------------


@cache
def _page() -> Any:
    start = r"(?:\s|<!--.*?-->|<\?xml[^>]*>)*<(?:!doctype\s+html|html|head|body)\b"
    return re.compile(start, re.I | re.S)


@cache
def _tags() -> Any:
    return re.compile(r"<(/?)([a-z][a-z0-9]*)\b[^<>]*?(/?)>", re.I)


def is_page(text: str) -> bool:
    """Whether a text is HTML: a page, or a piece of one, all of which stands inside elements.

    >>> is_page("<!DOCTYPE html><p>x"), is_page("<div><p>a</p></div>"), is_page("a < b, </p>")
    (True, True, False)
    >>> is_page("<div> opens a block and </div> closes it; <b> and </b> make it bold.")
    False
    """
    if "<" not in text[:200]:
        return False
    if start := _page().match(text[:5000]):
        return "<!doctype" in start[0].lower() or sum(1 for _ in _tags().finditer(text[:20_000])) > 2
    if not _tags().match(text.lstrip()[:5000]):
        return False
    depth = n_closed = at = n_outside = 0
    for tag in _tags().finditer(text[:20_000]):
        n_outside += 0 if depth else len(text[at : tag.start()].strip())
        at = tag.end()
        if tag[1]:
            n_closed, depth = n_closed + 1, max(0, depth - 1)
        elif not tag[3] and tag[2].lower() not in _VOID:
            depth += 1
    rest = text[at:20_000] if depth == 0 else ""
    return n_closed > 1 and n_outside + len(rest.strip()) <= OUTSIDE * len(text[:20_000])


def main_content(html: str) -> str:
    """The main content of a page as lines; "" when it has none. Raises MissingError when trafilatura is not installed."""
    try:
        import trafilatura
    except ImportError as error:
        from isogloss.core.errors import extra_missing

        raise extra_missing("taking the main content out of HTML", "trafilatura", "text") from error
    import logging

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    whole = html if _page().match(html[:5000]) else f"<html><body>{html}</body></html>"
    try:
        for prune in ([*_never(), *_seldom()], _never()):  # a class of the whole page may be called so
            found = trafilatura.extract(whole, include_comments=False, include_tables=True, prune_xpath=prune)
            if found:
                break
        found = str(found or _plain(whole)).strip()
        return "" if _only_links(whole, found) else found
    except Exception:  # whatever a page can do to a parser, it is one page
        return ""


def _never() -> list[str]:
    """What is no text of a page, however short that is."""
    return ["//nav", "//footer", "//*[@role='navigation']", "//dialog"]


@cache
def _seldom() -> list[str]:
    """What is called as if it were none."""
    named = ("cookie", "consent", "gdpr", "breadcrumb")
    lower = "translate({}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
    words = [f"contains({lower.format(f'@{name}')}, '{word}')" for name in ("id", "class") for word in named]
    return [f"//*[{' or '.join(words)}]"]


def _only_links(html: str, found: str) -> bool:
    """Whether what was found is a list of short links, and nothing else."""
    lines = [line.strip(" \t-*•|·") for line in found.split("\n")]
    lines = [line for line in lines if line]
    if not lines or len(found) > MENU or max(map(_near.n_units, lines)) > 2 * LONG:
        return False
    from lxml import html as parser

    tree = parser.document_fromstring(html)
    texts = {" ".join(a.text_content().split()) for a in tree.iter("a")} - {""}
    pieces = [piece.strip() for line in lines for piece in re.split(r"[|•·›»]", " ".join(line.split()))]
    pieces = [piece for piece in pieces if piece]
    return len(pieces) > 1 and all(piece in texts for piece in pieces)


# What is no text of a page, by element, and by the words of its class, id or role.
_ASIDE = "script style noscript template nav footer aside form button select iframe svg head"
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())  # noqa: SIM905
_BLOCKS = "p div li tr h1 h2 h3 h4 h5 h6 br section article blockquote pre td dd dt figcaption".split()  # noqa: SIM905


def _plain(html: str) -> str:
    """The text of a page that is too short for its main content to be told: everything but what is named as no text."""
    from lxml import html as parser

    tree = parser.document_fromstring(html)
    most = 0.5 * len(tree.text_content())
    named = re.compile(r"\b(?:nav|menu|cookie|consent|banner|footer|breadcrumb|sidebar|share|social|gdpr)", re.I)
    for node in list(tree.iter()):
        words = (
            " ".join(str(node.get(name) or "") for name in ("class", "id", "role")) if isinstance(node.tag, str) else ""
        )
        gone = not isinstance(node.tag, str) or node.tag in _ASIDE.split()
        gone = gone or (bool(named.search(words)) and len(node.text_content()) <= most)
        if gone and node.getparent() is not None and node.tag not in ("html", "body"):
            node.drop_tree()
    for node in tree.iter(*_BLOCKS):
        node.tail = "\n" + (node.tail or "")
        node.text = "\n" + (node.text or "") if node.tag != "br" else node.text
    lines = (" ".join(line.split()) for line in tree.text_content().split("\n"))
    return "\n".join(line for line in lines if line)


# -- lines at the edges -----------------------------------------------------------------------------------------


@cache
def _shapes() -> tuple[Any, Any, Any]:
    import regex

    menu = regex.compile(r"\s*[|•·»›▸►❯→]\s*|\s+>\s+|\t+")
    sentence = regex.compile(r"[.!?।॥。！？؟۔።፧၊။៖៕…:;]\s*$")
    rights = regex.compile(r"(?i)©|\(c\)\s*(?:19|20)\p{Nd}{2}|all rights reserved")
    return menu, sentence, rights


@cache
def _consent() -> tuple[Any, Any]:
    """What cookies are called, and what stands beside, in every language of `assets/consent.tsv`."""
    path = Path(__file__).parents[2] / "assets" / "consent.tsv"
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    words: list[set[str]] = [set(), set()]
    for _, *columns in rows[1:]:
        for place, column in enumerate(columns):
            words[place].update(word.replace("¦", " ") for word in column.split())

    def any_of(some: set[str]) -> Any:
        longest_first = sorted(some, key=lambda w: (-len(w), w))
        return re.compile(
            "|".join(re.escape(w) if not w.isascii() else rf"\b{re.escape(w)}" for w in longest_first), re.I
        )

    return any_of(words[0]), any_of(words[1])


def _is_edge(line: str, rest: str) -> bool:
    """Whether a line at the edge of a text is a menu, a path or a notice; `rest` is the text without it."""
    menu, sentence, rights = _shapes()
    if len(line) > LONGEST:
        return False
    pieces = [piece for piece in menu.split(line.strip()) if piece]
    if len(pieces) >= 3 and not line.lstrip().startswith("|"):  # a row of a table begins with a bar
        short = all(len(piece) <= 25 and len(piece.split()) <= 3 and not sentence.search(piece) for piece in pieces)
        if short:
            return True
    if rights.search(line) and len(line) <= 200:
        return True
    cookies, beside = _consent()
    return bool(cookies.search(line) and beside.search(line)) and not cookies.search(rest)


def _edges(lines: Sequence[str]) -> set[int]:
    """The lines at both ends that are no text."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if len(filled) < FEWEST_LINES:
        return set()
    looked = dict.fromkeys([*filled[:EDGE], *filled[-EDGE:]])
    found = set()
    for i in looked:
        others = "\n".join(line for j, line in enumerate(lines) if j != i and j not in found)
        if _is_edge(lines[i], others):
            found.add(i)
    return {i for i in found if not any(_bars(lines, i) == _bars(lines, i + step) > 0 for step in (-1, 1))}


def _bars(lines: Sequence[str], i: int) -> int:
    """How many bars and tabs a line has: neighbours with equally many are rows of a table."""
    return lines[i].count("|") + lines[i].count("\t") if 0 <= i < len(lines) else 0


def text_of(text: str, html: Html) -> tuple[str, bool]:
    """The text of a page, and whether it was one."""
    page = html == "auto" and is_page(text)
    return (main_content(text), True) if page else (text, False)


# -- lines of a source ------------------------------------------------------------------------------------------


def _mark(line: str) -> int:
    """A line as it is compared: a hash that fits 63 bits."""
    return int.from_bytes(hashlib.blake2b(_near.normalised(line).encode(), digest_size=8).digest()) >> 1


def _marks(text: str, html: Html) -> list[tuple[int, int, int, int]]:
    """(hash, place from the beginning, place from the end, length) of the lines that count, each once."""
    lines = [line for line in text_of(text, html)[0].split("\n") if line.strip()]
    if len(lines) < FEWEST_LINES:
        return []
    found: dict[int, tuple[int, int, int, int]] = {}
    for i, line in enumerate(lines):
        if len(line) <= LONGEST:
            mark = _mark(line)
            found.setdefault(mark, (mark, i, len(lines) - 1 - i, _near.n_units(line.strip())))
    return list(found.values())


def summarise(batch: pl.DataFrame, *, html: Html = "auto") -> pl.DataFrame:
    """Count, by source, the documents that have a line, and where: a row a line, and one with null for all documents.

    Knobs
        html: as in `apply`
    """
    import polars as pl

    texts, sources = batch["text"].to_list(), batch["source"].to_list()
    dropped = batch["drop"].to_list() if "drop" in batch.columns else [None] * batch.height
    rows: list[tuple[str, int | None, int, int, int]] = []
    for text, source, gone in zip(texts, sources, dropped, strict=True):
        marks = _marks(text, html) if text and gone is None else []
        if marks:
            rows.append((source or "", None, 0, 0, 0))
            rows += [(source or "", *mark) for mark in marks]
    schema = {"source": pl.String, "mark": pl.Int64, "i": pl.Int64, "j": pl.Int64, "length": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return (
        frame.group_by("source", "mark", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("length").max(),
            *[pl.col(c).sum() for c in "ij"],
            *[pl.col(c).pow(2).sum().alias(f"{c}2") for c in "ij"],
        )
        .with_columns((pl.col("source").hash(0) % BUCKETS).cast(pl.Int64).alias("bucket"))
    )


def decide(summaries: pl.DataFrame, *, min_docs: Annotated[int, Field(ge=5)] = 10) -> pl.DataFrame:
    """Learn, for each source, from how many documents on a line is boilerplate, and which lines are.

    Knobs
        min_docs: documents of three lines or more that a source must have before its lines are compared

    Gives `source, mark, n_docs, from_n` (documents from which a line counts), and `n_with` of each line; the row with a
    null mark says what was learned of the source. Sources with fewer documents are not there.
    """
    import polars as pl

    schema = dict.fromkeys(("source", "mark", "n_docs", "from_n", "n_with", "n_lines"), pl.Int64) | {
        "source": pl.String
    }
    total = summaries.group_by("source", "mark").agg(pl.col("n", "i", "j", "i2", "j2").sum(), pl.col("length").max())
    docs = total.filter(pl.col("mark").is_null(), pl.col("n") >= min_docs).select("source", pl.col("n").alias("n_docs"))
    lines = total.filter(pl.col("mark").is_not_null()).join(docs, on="source")
    found = [pl.DataFrame(schema=schema)]
    for (source,), own in sorted(lines.group_by("source"), key=lambda item: str(item[0][0])):
        n_docs = int(own["n_docs"][0])
        from_n = _learned(own["n"].unique().to_list(), n_docs)
        spread = [((pl.col(f"{c}2") / pl.col("n")) - (pl.col(c) / pl.col("n")).pow(2)).clip(0).sqrt() for c in "ij"]
        steady = pl.min_horizontal(spread) <= WANDER
        picked = own.filter(pl.col("n") >= from_n, (pl.col("length") >= LONG) | steady)
        named = picked.sort("n", "mark", descending=[True, False]).select(
            pl.lit(source).alias("source"),
            "mark",
            pl.lit(n_docs, pl.Int64).alias("n_docs"),
            pl.lit(from_n, pl.Int64).alias("from_n"),
            pl.col("n").cast(pl.Int64).alias("n_with"),
            pl.lit(None, pl.Int64).alias("n_lines"),
        )
        told = pl.DataFrame([(source, None, n_docs, from_n, None, picked.height)], schema=schema, orient="row")
        found += [told, named]
    return pl.concat(found)


def _learned(counts: Sequence[int], n_docs: int) -> int:
    """From how many documents on a line is boilerplate: the lowest gap, or half of all documents.

    >>> _learned([1, 2, 3, 30, 100], 100), _learned([1, 2, 3, 4, 6, 10, 17, 28, 40], 100)
    (30, 50)
    """
    low = max(3, math.ceil(LOWEST * n_docs))
    half = max(low, math.ceil(HALF * n_docs))
    below = float(low)
    for n in sorted(n for n in counts if n >= low):
        if n >= GAP * below:
            return min(n, half)
        below = n
    return half


def learned(decision: pl.DataFrame) -> pl.DataFrame:
    """What was learned of each source, for the data card."""
    import polars as pl

    return decision.filter(pl.col("mark").is_null()).select(
        "source",
        pl.col("n_docs").alias("documents of 3 lines or more"),
        pl.col("from_n").alias("boilerplate from so many"),
        (pl.col("from_n") / pl.col("n_docs")).alias("share of them"),
        pl.col("n_lines").alias("lines found"),
    )


def apply(
    batch: pl.DataFrame,
    decision: pl.DataFrame | None,
    *,
    html: Html = "auto",
    edges: bool = True,
    repeated: bool = True,
) -> pl.DataFrame:
    """Rewrite `text`, and drop documents of which nothing stays.

    Knobs
        html: take the main content out of texts that are HTML (auto), or leave them as they are (keep)
        edges: take away navigation and notices in the first and last lines
        repeated: take away lines that many documents of the source share
    """
    import polars as pl

    shared: dict[str, set[int]] = {}
    if decision is not None and repeated:
        for source, mark in decision.filter(pl.col("mark").is_not_null()).select("source", "mark").iter_rows():
            shared.setdefault(source, set()).add(mark)
    sources = batch["source"].to_list() if "source" in batch.columns else [None] * batch.height
    olds = batch["drop"].to_list() if "drop" in batch.columns else [None] * batch.height
    texts: list[str | None] = []
    drop: list[str | None] = []
    for text, source, old in zip(batch["text"].to_list(), sources, olds, strict=True):
        reason = old
        if text and old is None:
            new, reason = _cleaned(text, html, edges, shared.get(source or "", set()))
            text = text if reason else new
        texts.append(text)
        drop.append(reason)
    return batch.with_columns(pl.Series("text", texts, dtype=pl.String), pl.Series("drop", drop, dtype=pl.String))


def _cleaned(text: str, html: Html, edges: bool, shared: set[int]) -> tuple[str, str | None]:
    """The text that stays, or the reason why none does."""
    body, page = text_of(text, html)
    if page and not body:
        return text, "a page without main content"
    lines = body.split("\n")
    filled = [i for i, line in enumerate(lines) if line.strip()]
    going = _edges(lines) if edges else set()
    n_edges = len(going)
    if shared and len(filled) >= FEWEST_LINES:
        going |= {i for i in filled if len(lines[i]) <= LONGEST and _mark(lines[i]) in shared}
    if not going:
        return body, None
    kept = "\n".join(line for i, line in enumerate(lines) if i not in going).strip("\n")
    if kept.strip():
        return kept, None
    n_shared = len(going) - n_edges
    return (
        text,
        f"nothing but boilerplate: {n_shared} lines repeated in the source, {n_edges} of navigation and notices",
    )
