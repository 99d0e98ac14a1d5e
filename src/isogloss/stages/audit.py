"""audit: what a tokenizer costs each language, and what the languages need that it does not serve.

texts ── sample ──► tokens, words, characters of each text ── sums ──► measures by language and script, with intervals
                └─► a part of them in other spellings ──► the variant tax
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import words
from isogloss.core.files import digest_of
from isogloss.core.lang import resolve
from isogloss.core.resampling import interval, resampled, wilson
from isogloss.core.say import Say
from isogloss.core.tax import MEASURES, Judged, judged
from isogloss.core.tokens import Tokenizer
from isogloss.stages.auditing import capacity, inflection, sample
from isogloss.stages.auditing.counting import AT, Counted, Floats, Ints, count, tie
from isogloss.stages.auditing.found import Audit, LangAudit, Moved, ScriptAudit, Value, badness
from isogloss.stages.auditing.variants import VARIANTS, distance

REFERENCE = "eng_Latn"
WIDTH = 768  # of a model whose width nobody says: that of base models
# Texts of a language that are decoded again and written in other ways; with a model, how many go through it.
AGAIN, EMBEDDED = 100, 50
PART = 2000  # characters of each of these texts
NOTHING = Value(None, None, None, 0)
TIED = ("premium", "latency")  # measures beside the reference language


def audit(
    tokenizer: str | Path | Tokenizer,
    texts: pl.DataFrame | Mapping[str, Sequence[str]] | sample.Sample,
    *,
    reference: str = REFERENCE,
    max_length: int | None = None,
    width: int | None = None,
    price: float | None = None,
    model: str | None = None,
    known: Callable[[str], Sequence[str]] | None = None,
    limit: int = sample.LIMIT,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 17,
    say: Say | None = None,
) -> Audit:
    """Audit a tokenizer (a file, a folder, a name) on texts (a frame with `text, lang` and perhaps `group`, or texts by
    language).

    `reference`: the language that others are compared with, where `group` ties their texts. `max_length`, `width`: of
    the model, where its folder does not say them. `price`: of a million tokens, in any money. `model`: an encoder whose
    vectors take part in the variant tax; loads torch. `known`: which models are known to serve a language. At most
    `limit` texts of a language are read. Raises what reading the tokenizer and the texts raises.
    """
    say = say or Say()
    own = tokenizer if isinstance(tokenizer, Tokenizer) else open_tokenizer(tokenizer, say=say)
    found = sample.of(texts, limit)
    base = resolve(reference).tag
    wide = width or own.facts.get("width") or WIDTH
    longest = max_length or own.max_length
    counted = count(own, found.rows, tick=lambda done, total: say.progress("audit", done, total, "texts"))
    say.close()
    tie(found.rows, counted.counts, base, wide)
    at = sample.some(found.rows, AGAIN)
    _decode_again(own, found.rows, counted, at)
    draw = _Draws(found.rows, counted.counts, resamples, confidence, seed)
    moved = _moved(own, found.rows, at, draw, model, say)
    scripts = capacity.by_script(own)
    capacities = capacity.capacities(own, counted.pieces, scripts)
    langs = []
    untied = _untied(found.rows, base)
    for tag in found.langs:
        values, why = draw.values(_places(found.rows, "lang", tag)), _why(own, tag, untied)
        values = {name: NOTHING if name in why else value for name, value in values.items()}
        if tag == base:  # beside itself, by definition
            itself = {name: Value(1.0, 1.0, 1.0, values[name].n) for name in TIED if values[name].value is not None}
            values |= itself
        types = counted.words.get(tag, {})
        plain = {name: value.value for name, value in values.items()}
        verdict = judged(
            plain, fallback=own.fallback, kind=own.kind, n_script=capacities[tag].script_pieces, script=tag[4:]
        )
        langs.append(
            LangAudit(
                tag, len(_places(found.rows, "lang", tag)), found.n_read[tag], verdict.verdict, verdict.needs,
                verdict.reasons, values,
                whole=NOTHING if "continued" in why else _whole(types, confidence),
                context_words=_context(values["fertility"], longest, own.n_special or 0),
                money=_money(plain, price), variants=moved[tag], capacity=capacities[tag],
                inflection=inflection.Inflection(0, 0, why=why["continued"]) if "continued" in why
                else inflection.probe(own, types, tag, seed=seed, confidence=confidence),
                better=tuple(known(tag)) if known and verdict.needs else (), why=why,
            )
        )  # fmt: skip
    return Audit(
        tokenizer=own,
        reference=base,
        langs=tuple(sorted(langs, key=lambda one: (badness(one), one.lang))),
        scripts=_scripts(found.rows, draw, base, counted, moved, longest, own.n_special or 0),
        room=capacity.room(own, counted.pieces),
        max_length=longest,
        width=wide,
        signature=_signature(found.rows, resamples, confidence, seed),
        confidence=confidence,
        why_no_premium=untied.get("", ""),
        notes=tuple(dict.fromkeys((*own.notes, *found.notes, *_notes(own, found, longest, wide, max_length, width)))),
    )


def verdicts(own: Tokenizer, rows: pl.DataFrame, reference: str) -> dict[str, Judged]:
    """What each language of a sample's rows needs, from values alone: no intervals, no variants."""
    counted = count(own, rows)
    tie(rows, counted.counts, reference, own.facts.get("width") or WIDTH)
    held = capacity.capacities(own, counted.pieces, capacity.by_script(own))
    out = {}
    for tag in counted.pieces:
        sums = counted.counts[_places(rows, "lang", tag)].sum(axis=0)
        values = {
            name: float(sums[AT[m.over]] / sums[AT[m.under]]) if sums[AT[m.under]] else None
            for name, m in MEASURES.items()
        }
        n_script = held[tag].script_pieces
        out[tag] = judged(values, fallback=own.fallback, kind=own.kind, n_script=n_script, script=tag[4:])
    return out


def open_tokenizer(name: str | Path, *, revision: str | None = None, say: Say | None = None) -> Tokenizer:
    """The tokenizer of a file, a folder, a run, `isogloss/mini` or a hub name.

    Raises MissingError when nothing is there, InputError for what is no tokenizer, or a run whose family has none.
    """
    from isogloss.nn.tokenizer import open_tokenizer

    return open_tokenizer(located(name), revision=revision, say=say)


def located(name: str | Path) -> str | Path:
    """The folder of a run's or a shelf's model; any other name as it is. Raises InputError for a family without a
    tokenizer."""
    from isogloss.core.errors import InputError
    from isogloss.stages import model

    place = Path(name).expanduser()
    if not any((place / mark).is_file() for mark in (model.CARD, f"model/{model.CARD}", "recipe.toml", "aliases.json")):
        return name
    folder = model.locate(place)
    if not (folder / "config.json").is_file():
        family = model.read_card(folder)["family"]
        raise InputError(f"the family '{family}' of {name} reads text without a tokenizer; there is nothing to audit")
    return folder


# -- values and their intervals -----------------------------------------------------------------------------------


class _Draws:
    """Measures of any rows, with intervals by bootstrap over groups of parallel texts, or over texts."""

    def __init__(self, rows: pl.DataFrame, counts: Floats, resamples: int, confidence: float, seed: int) -> None:
        own = pl.format("\0{}:{}", pl.int_range(pl.len()), pl.col("id"))  # an id need not be unique
        names = rows.select(pl.coalesce(pl.col("group"), own)).to_series()
        self.units: Ints = names.rank("dense").to_numpy().astype(np.int64)
        self.counts, self.resamples, self.confidence, self.seed = counts, resamples, confidence, seed

    def values(self, at: Ints) -> dict[str, Value]:
        """Every measure over the rows `at`."""
        names = list(MEASURES)
        over = [AT[MEASURES[name].over] for name in names]
        under = [AT[MEASURES[name].under] for name in names]
        bounds = [(0.0, MEASURES[name].most) for name in names]
        made = self.ratios(self.units[at], self.counts[at][:, over], self.counts[at][:, under], bounds)
        return dict(zip(names, made, strict=True))

    def ratios(self, units: Ints, over: Floats, under: Floats, bounds: Sequence[tuple[float, float]]) -> list[Value]:
        """Sums of `over (N, M)` over sums of `under (N, M)`, column by column; `n` are the rows that count below."""
        n = (under > 0).sum(axis=0)
        draws, _ = resampled(units, np.hstack([over, under]), self.resamples, self.seed)
        half = over.shape[1]
        out = []
        for i in range(half):
            below = float(under[:, i].sum())
            if not below:
                out.append(NOTHING)
                continue
            value = float(over[:, i].sum()) / below
            with np.errstate(divide="ignore", invalid="ignore"):
                some = draws[:, i] / draws[:, half + i]
            n_units = len(np.unique(units[under[:, i] > 0]))
            low, high = interval(value, some, n_units, bounds[i], self.confidence)
            out.append(Value(value, _number(low), _number(high), int(n[i])))
        return out


def _number(x: float) -> float | None:
    return None if math.isnan(x) else float(x)


def _places(rows: pl.DataFrame, column: str, value: str) -> Ints:
    return np.flatnonzero((rows[column] == value).to_numpy())


def _whole(types: Mapping[Any, int], confidence: float) -> Value:
    """Share of the different words that are one known token (STRR, Nayeem et al. 2025, arXiv 2510.09947)."""
    k, n = sum(size == 1 for size in types.values()), len(types)
    if not n:
        return NOTHING
    low, high = wilson(k, n, confidence)
    return Value(k / n, float(low), float(high), n)


def _context(fertility: Value, longest: int | None, n_special: int) -> Value:
    """How many words the model reads at once."""
    if longest is None or not fertility.value:
        return NOTHING
    room = longest - n_special
    low, high = (room / end if end else None for end in (fertility.high, fertility.low))
    return Value(room / fertility.value, low, high, fertility.n)


def _money(values: Mapping[str, float | None], price: float | None) -> dict[str, float]:
    """What a million characters and a million words cost, where a price of a million tokens is given."""
    if price is None:
        return {}
    named = {"per_million_characters": "tokens_per_char", "per_million_words": "fertility"}
    return {key: round(price * value, 6) for key, name in named.items() if (value := values[name]) is not None}


def _scripts(
    rows: pl.DataFrame, draw: _Draws, reference: str, counted: Counted, moved: Mapping[str, Mapping[str, Moved]],
    longest: int | None, n_special: int,
) -> tuple[ScriptAudit, ...]:  # fmt: skip
    """Scripts over all their languages; beside the reference language stand the others."""
    script, others = rows["lang"].str.slice(4), (rows["lang"] != reference).to_numpy()
    out = []
    for name in sorted(set(script)):
        own = (script == name).to_numpy()
        at = np.flatnonzero(own)
        beside = draw.values(np.flatnonzero(own & others)) if (own & others).any() else dict.fromkeys(TIED, NOTHING)
        values = draw.values(at) | {measure: beside[measure] for measure in TIED}
        langs = tuple(sorted(set(rows["lang"].gather(at))))
        types = {(tag, word): size for tag in langs for word, size in counted.words.get(tag, {}).items()}
        whole, context = _whole(types, draw.confidence), _context(values["fertility"], longest, n_special)
        out.append(ScriptAudit(name, langs, len(at), values, whole, context, moved[name]))
    return tuple(sorted(out, key=_script_badness))


def _script_badness(one: ScriptAudit) -> tuple[float, ...]:
    lost, premium, spelled = (one.values[name].value or 0.0 for name in ("lost", "premium", "tokens_per_char"))
    return (-max(lost, one.values["unknown"].value or 0.0) if lost > 0.1 else 0.0, -premium, -spelled)


# -- what is there not, and why -----------------------------------------------------------------------------------


def _why(own: Tokenizer, tag: str, untied: Mapping[str, str]) -> dict[str, str]:
    """Why measures of a language have no value."""
    why: dict[str, str] = {}
    if reason := words.why_none(tag):
        why |= {name: reason for name, measure in MEASURES.items() if measure.words}
    if own.kind == "other":
        untold = "the tokenizer does not tell which characters a token stands for"
        why |= dict.fromkeys(("lost", "continued"), untold)
    if premium := untied.get("") or untied.get(tag):
        why |= dict.fromkeys(TIED, premium)
    return why


def _untied(rows: pl.DataFrame, reference: str) -> dict[str, str]:
    """Why there is no premium over the reference, by language; under "" why there is none at all."""
    langs = set(rows["lang"])
    if reference not in langs:
        return {"": f"there is no text in the reference language {reference}"}
    if rows["group"].null_count() == rows.height:
        return {"": "no row has a `group`, which ties the same content in several languages together"}
    theirs = rows.filter(pl.col("lang") == reference)["group"].drop_nulls().unique()
    tied = set(rows.filter(pl.col("group").is_in(theirs.implode()))["lang"])
    none = f"no text has a `group` that a text in {reference} has too"
    if not tied - {reference} and len(langs) > 1:
        return {"": none}
    return dict.fromkeys(langs - tied, none)


def _notes(
    own: Tokenizer, found: sample.Sample, longest: int | None, wide: int, said: int | None, said_width: int | None
) -> list[str]:
    notes = []
    if longest is None:
        notes.append("how many tokens the model reads is not known, so there is no context in words; give --max-length")
    if not said_width and "width" not in own.facts:
        notes.append(f"the width of the model is not known; latency is counted for {wide}")
    if said and own.max_length and said > own.max_length:
        notes.append(f"the folder says {own.max_length:,} tokens; {said:,} were asked for and are used")
    few = [tag for tag in found.langs if found.n_read[tag] < 10]
    if few:
        shown = ", ".join(few[:8]) + (f" and {len(few) - 8} more" if len(few) > 8 else "")
        notes.append(f"fewer than 10 texts in {shown}: read the intervals, not the values")
    return notes


def _signature(rows: pl.DataFrame, resamples: int, confidence: float, seed: int) -> str:
    data = digest_of([rows["lang"].to_list(), rows["text"].hash(0).cast(pl.String).to_list()])[:8]
    units = "group" if rows["group"].null_count() < rows.height else "text"
    return f"v1|units:{units}|boot:{resamples}|conf:{confidence:g}|seed:{seed}|data:{data}"


# -- a part of the texts once more --------------------------------------------------------------------------------


def _decode_again(own: Tokenizer, rows: pl.DataFrame, counted: Counted, at: Ints) -> None:
    """Fill what is lost between a text and the text of its tokens, in characters other than white space, in place."""
    texts = rows["text"].gather(at).str.head(PART).to_list()
    cut = own.encode(texts)
    for i, text, again in zip(at, texts, own.decode(cut.lists()), strict=True):
        before, after = "".join(text.split()), "".join(again.split())
        counted.counts[i, AT["read"]] = len(before)
        if before != after:
            far = distance([*map(ord, before)], [*map(ord, after)])
            counted.counts[i, AT["changed"]] = min(far, len(before))


def _moved(
    own: Tokenizer, rows: pl.DataFrame, at: Ints, draw: _Draws, model: str | None, say: Say
) -> dict[str, dict[str, Moved]]:
    """The variant tax by language and by script, and variant."""
    some = rows[at].with_columns(pl.col("text").str.head(PART))
    texts, langs = some["text"].to_list(), some["lang"].to_list()
    plain = own.encode(texts).lists()
    written = {name: [write(*one) for one in zip(texts, langs, strict=True)] for name, write in VARIANTS.items()}
    far, there, before, after = (np.zeros((len(at), len(VARIANTS))) for _ in range(4))
    for k, other in enumerate(written.values()):
        changed = [i for i, (a, b) in enumerate(zip(texts, other, strict=True)) if a != b]
        for i, ids in zip(changed, own.encode([other[i] for i in changed]).lists(), strict=True):
            there[i, k], before[i, k], after[i, k] = 1, len(plain[i]), len(ids)
            far[i, k] = distance(plain[i], ids) / max(1, len(plain[i]), len(ids))
    vectors = _vectors(model, some, written, say) if model else None
    units, tags = draw.units[at], np.array(langs)
    scripts = np.array([tag[4:] for tag in langs])
    groups = {tag: tags == tag for tag in dict.fromkeys(langs)} | {
        one: scripts == one for one in dict.fromkeys(scripts)
    }
    out: dict[str, dict[str, Moved]] = {}
    for key, mask in groups.items():
        held = np.flatnonzero(mask)
        moved = draw.ratios(units[held], far[held], there[held], [(0.0, 1.0)] * len(VARIANTS))
        turned: list[Value | None] = [None] * len(VARIANTS)
        if vectors is not None:
            seen = (vectors[held] >= 0).astype(np.float64)
            apart: Floats = np.maximum(vectors[held], 0.0)
            turned = [*draw.ratios(units[held], apart, seen, [(0.0, 2.0)] * len(VARIANTS))]
        sums = [(float(before[held, k].sum()), float(after[held, k].sum())) for k in range(len(VARIANTS))]
        out[str(key)] = {
            name: Moved(moved[k], sums[k][1] / sums[k][0] if sums[k][0] else None, turned[k])
            for k, name in enumerate(VARIANTS)
        }
    return out


def _vectors(model: str, rows: pl.DataFrame, written: Mapping[str, list[str]], say: Say) -> Floats:
    """One less the cosine between a text and its variants `(N, V)`, of the first texts of each language; -1 where there is
    none."""
    place = sample.some(rows, EMBEDDED)
    texts = rows["text"].to_list()
    wanted = sorted({texts[i] for i in place} | {other[i] for other in written.values() for i in place})
    say.line(f"audit     {len(wanted):,} texts will go through {model} once; loading torch")
    from isogloss.stages.embed import encoder

    unit, _ = encoder(model).vectors(wanted, tick=lambda done: say.progress("vectors", done, len(wanted)))
    say.close()
    of = dict(zip(wanted, unit, strict=True))
    far = np.full((rows.height, len(written)), -1.0)
    for k, other in enumerate(written.values()):
        for i in place:
            if texts[i] != other[i]:
                far[i, k] = max(0.0, 1.0 - float(of[texts[i]] @ of[other[i]]))
    return far
