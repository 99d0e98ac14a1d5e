"""cure: give languages that a tokenizer serves badly pieces of their own, bytes, or another tokenizer.

    text of the languages ── a fifth is held out ──┐
      extend   its own segmentation, joined on     │
      bytes    the 256 bytes                       ├─► a transformers folder, audited before and after on what was held out
      replace  a new tokenizer, trained or given   │
    rows of the model's tables ── mixtures of old ─┘

The model is not trained here. What that needs is written beside it.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.core import lang as lang_table
from isogloss.core import token_files, words
from isogloss.core.errors import DataError, InputError, PlaceError, nearest
from isogloss.core.lang import facts
from isogloss.core.say import Say
from isogloss.core.tax import Judged
from isogloss.core.tokens import Tokenizer
from isogloss.stages.audit import REFERENCE, audit, located, verdicts
from isogloss.stages.auditing import sample
from isogloss.stages.auditing.found import Audit
from isogloss.stages.curing import note, pieces, surgery

HOWS = ("extend", "bytes", "replace")
VECTORS = ("mean", "focus")
# Texts of a language that are learned from, and that are measured on.
LEARNED, MEASURED = 20_000, 1000
HELD_OUT, FEWEST_TEXTS = 5, 25  # one text of five is held out where there are so many
PIECES = {"extend": 2000, "replace": 16_000}
# Texts of a language that a verdict is made from; parts of a word, before pieces, above which it is said.
JUDGED, CUT = 200, 1.5
ROUNDS = 5  # of taking out pieces that cut kept languages anew


@dataclass(frozen=True)
class Changed:
    """What a cure did to the texts of a language that nobody asked it to change.

    Of `n` texts that could be written before, `share` are cut in another way, `longer` of them into more tokens;
    `tokens`: after over before. `n_unknown` more had unknown tokens. `kept`: the tokenizer served the language well, so
    no new piece was to stand in its texts.
    """

    lang: str
    kept: bool
    n: int
    share: float
    longer: int
    tokens: float
    n_unknown: int


@dataclass(frozen=True)
class Cure:
    """What was made, in which folder, and what it is worth by language on texts that were held out."""

    folder: Path
    how: str
    name: str
    langs: tuple[str, ...]
    n_new: int
    n_pieces: int
    vectors: str
    n_rows: tuple[int, int] | None
    n_drawn: int
    n_texts: Mapping[str, int]
    n_tokens: int
    held_out: bool
    before: Audit
    after: Audit
    changed: tuple[Changed, ...]
    recut: float
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "folder": str(self.folder),
            "by": self.how,
            "of": self.name,
            "langs": list(self.langs),
            "n_new_pieces": self.n_new,
            "n_pieces": self.n_pieces,
            "vectors": self.vectors,
            "rows": None if self.n_rows is None else {"before": self.n_rows[0], "after": self.n_rows[1]},
            "n_drawn_rows": self.n_drawn,
            "n_texts_learned_from": dict(self.n_texts),
            "n_tokens_learned_from": self.n_tokens,
            "held_out": self.held_out,
            "before": self.before.document(),
            "after": self.after.document(),
            "changed": [vars(one) for one in self.changed],
            "cut_otherwise": self.recut,
            "notes": list(self.notes),
            "next": list(note.what_next(self)),
        }


def cure(
    name: str,
    texts: sample.Sample,
    out: Path,
    *,
    how: str = "extend",
    langs: Sequence[str] | None = None,
    n_pieces: int | None = None,
    vectors: str = "mean",
    tokenizer: str | None = None,
    reference: str = REFERENCE,
    revision: str | None = None,
    seed: int = 17,
    say: Say | None = None,
) -> Cure:
    """Write into the folder `out` the model (or the tokenizer alone, where `name` has no weights) with a tokenizer that
    serves `langs`; default: those that the audit says need something.

    Raises InputError for what cannot be cured so, DataError for languages without text, PlaceError when `out` is there.
    """
    from isogloss.nn import fast
    from isogloss.nn.disk import whole_folder

    say = say or Say()
    _check(how, vectors, tokenizer, n_pieces, out)
    source = fast.open_fast(str(located(name)), revision=revision)
    own = token_files.rust(surgery.read(source.value), source.value, name, "tokenizer.json")
    base = lang_table.resolve(reference).tag
    wanted = _wanted(own, texts, langs, how, base, say)
    learn, measure, held_out = _split(texts.rows, wanted)
    seen, unseen, kept = _others(own, learn, measure, wanted, base)
    say.line(
        f"cure      {how} for {', '.join(wanted)}: {learn.filter(pl.col('lang').is_in(wanted)).height:,} texts to learn from"
    )
    made = _made(source, own, how, learn, seen, wanted, n_pieces, tokenizer, say)
    notes = [*texts.notes, *made.notes, *_cut_before(own, learn, wanted)]
    if not held_out:
        notes.append(
            f"fewer than {FEWEST_TEXTS} texts of a language: nothing is held out, and the numbers are of the texts that were learned from"
        )
    target = out.expanduser().absolute()
    with whole_folder(target) as temporary:
        written = fast.save(source.with_value(made.value) if made.source is None else made.source, temporary)
        new = token_files.rust(
            written.backend_tokenizer, json.loads(written.backend_tokenizer.to_str()), str(out), "tokenizer.json"
        )
        rows = _rows(source, written, new, made, learn, wanted, vectors, temporary, seed, say)
        known = measure.filter(pl.col("lang").is_in([*wanted, base]))
        audits = [
            audit(one, sample.Sample(known, _counts(known)), reference=base, resamples=400, say=say)
            for one in (own, new)
        ]
        changed = _changed(own, new, unseen, kept)
        result = Cure(
            folder=target, how=how, name=name, langs=tuple(wanted), n_new=len(made.new), n_pieces=new.n_vocab,
            vectors=vectors if rows else "none", n_rows=rows[:2] if rows else None, n_drawn=rows[2] if rows else 0,
            n_texts=_counts(learn.filter(pl.col("lang").is_in(wanted))),
            n_tokens=int(new.encode(learn.filter(pl.col("lang").is_in(wanted))["text"].to_list()).n.sum()),
            held_out=held_out, before=audits[0], after=audits[1], changed=changed,
            recut=_recut(own, new, made, measure) if how == "extend" else 1.0 if how == "replace" else 0.0,
            notes=tuple(dict.fromkeys(notes)),
        )  # fmt: skip
        (temporary / "cure.json").write_text(
            json.dumps(result.document(), ensure_ascii=False, indent=2) + "\n", "utf-8"
        )
        (temporary / "CURE.md").write_text("\n".join(note.lines(result)) + "\n", "utf-8")
    return result


def _check(how: str, vectors: str, tokenizer: str | None, n_pieces: int | None, out: Path) -> None:
    if how not in HOWS:
        raise InputError(f"there is no cure '{how}'{nearest(how, HOWS)}")
    if vectors not in VECTORS:
        raise InputError(f"new rows do not begin as '{vectors}'{nearest(vectors, VECTORS)}")
    if tokenizer is not None and how != "replace":
        raise InputError(f"--tokenizer names what replaces the old one; with --by {how} leave it out")
    if n_pieces is not None and (how == "bytes" or tokenizer is not None):
        raise InputError("--pieces is for pieces that are learned; bytes are 256, and a given tokenizer has its own")
    target = out.expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PlaceError(f"{out} is there already and not empty; give a folder that is not there yet")


def _wanted(
    own: Tokenizer, texts: sample.Sample, langs: Sequence[str] | None, how: str, base: str, say: Say
) -> list[str]:
    """The languages to be cured, each with text."""
    if langs:
        wanted = list(dict.fromkeys(lang_table.resolve(code).tag for code in langs))
        absent = [tag for tag in wanted if tag not in texts.n_read]
        if absent:
            raise DataError(f"there is no text in {', '.join(absent)} (there is {', '.join(texts.langs)})")
        return wanted
    if how == "replace":
        return texts.langs
    found = verdicts(own, texts.rows[sample.some(texts.rows, JUDGED)], base)
    wanted = [tag for tag in texts.langs if found[tag].needs]
    if not wanted:
        raise InputError(
            "the audit finds no language in the text that needs a cure; name languages with --langs if you want one all the same"
        )
    say.note(f"languages that the audit says need something: {', '.join(wanted)}")
    return wanted


def _split(rows: pl.DataFrame, wanted: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame, bool]:
    """Texts to learn from and texts to measure on: by group, so that no translation stands on both sides."""
    enough = min(rows.filter(pl.col("lang") == tag).height for tag in wanted) >= FEWEST_TEXTS
    if not enough:
        return rows, rows, False
    # the low digits: the sample itself was drawn by the high ones
    out = pl.col("key") % HELD_OUT == 0
    measure = rows.filter(out)
    return rows.filter(~out), measure[sample.some(measure, MEASURED)], True


def _others(
    own: Tokenizer, learn: pl.DataFrame, measure: pl.DataFrame, wanted: Sequence[str], base: str
) -> tuple[pl.DataFrame, pl.DataFrame, frozenset[str]]:
    """Texts of other languages, of the text itself and of the bundled sample: those that no new piece may stand in, and
    those to measure on; and which languages are kept so, because the tokenizer serves them well.

    A language that needs something itself is not kept: where new pieces fit its texts, they are a gain.
    """
    there = {*wanted, *learn["lang"]}
    whole = sample.read_texts(sample.BUNDLED).rows
    mine, bundled = learn.filter(~pl.col("lang").is_in(wanted)), whole.filter(~pl.col("lang").is_in(sorted(there)))
    found: dict[str, Judged] = {}
    for some, beside in ((bundled, whole), (mine, learn)):  # what is in the user's text is judged on that alone
        if some.height:
            asked = pl.concat([some[sample.some(some, JUDGED)], beside.filter(pl.col("lang") == base)])
            judged = verdicts(own, asked.unique(["lang", "group", "text"], maintain_order=True), base)
            found |= {tag: one for tag, one in judged.items() if tag in set(some["lang"])}
    kept = frozenset(tag for tag, one in found.items() if not one.needs) - set(wanted)
    seen = pl.concat([mine, bundled.filter(pl.col("key") % 2 == 0)]).filter(pl.col("lang").is_in(sorted(kept)))
    unseen = pl.concat([measure.filter(~pl.col("lang").is_in(wanted)), bundled.filter(pl.col("key") % 2 == 1)])
    return seen, unseen, kept


def _cut_before(own: Tokenizer, learn: pl.DataFrame, wanted: Sequence[str]) -> list[str]:
    """Languages whose words the tokenizer cuts before it looks for pieces, which no new piece gets over."""
    notes = []
    for tag in wanted:
        texts = learn.filter(pl.col("lang") == tag)["text"].to_list()[:JUDGED]
        if words.why_none(tag) or not facts(tag).spaces:
            continue
        n_words = sum(1 for text in texts for _ in words.breaks(text))
        n_cut = 0
        for one, text in zip(own.inner.encode_batch(texts, add_special_tokens=False), texts, strict=True):
            with_letters = {
                number
                for number, (a, b) in zip(one.word_ids, one.offsets, strict=True)
                if any(unicodedata.category(c)[0] in "LMN" for c in text[a:b])
            }
            n_cut += len(with_letters)
        if n_words and n_cut / n_words > CUT:
            notes.append(
                f"the tokenizer cuts a word of {tag} into {n_cut / n_words:.1f} parts before it looks for pieces (its pattern "
                "does not know the script's marks), and no new piece goes over such a cut; --by replace would"
            )
    return notes


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    return dict(rows.group_by("lang", maintain_order=True).len().rows())


# -- what is made -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Made:
    """The new tokenizer: its JSON, the spellings that are new, and of each the old ones it is made of. `source` where it
    is another tokenizer altogether."""

    value: Mapping[str, Any]
    new: tuple[str, ...]
    parts: Mapping[str, Sequence[str]]
    notes: tuple[str, ...] = ()
    source: Any = None


def _made(
    source: Any, own: Tokenizer, how: str, learn: pl.DataFrame, kept: pl.DataFrame, wanted: Sequence[str],
    n_pieces: int | None, tokenizer: str | None, say: Say,
) -> _Made:  # fmt: skip
    if how == "bytes":
        value, new = surgery.with_bytes(source.value)
        return _Made(value, tuple(new), dict.fromkeys(new, ()))
    if how == "replace":
        return _replaced(source, learn, wanted, n_pieces or PIECES["replace"], tokenizer, say)
    texts = {tag: learn.filter(pl.col("lang") == tag)["text"].to_list() for tag in wanted}
    return _extended(source.value, own, texts, kept["text"].to_list(), n_pieces or PIECES["extend"] * len(wanted), say)


def _extended(
    value: Mapping[str, Any], own: Tokenizer, texts: Mapping[str, Sequence[str]], kept: Sequence[str], n: int, say: Say
) -> _Made:
    """The tokenizer with new pieces; none of them stands in a text of the kept languages."""
    kind, inner = surgery.kind_of(value), surgery.read(value)
    characters = (
        [] if kind == "byte-level bpe" else pieces.lacking(inner, texts, own.unknown, every=kind == "wordpiece")
    )
    letters = surgery.letters(value, characters)[:n]
    lettered, _ = surgery.extended(value, pieces.Learned(tuple(letters), ()))
    between = surgery.read(lettered)
    found = pieces.joins(
        {tag: pieces.words(between, some) for tag, some in texts.items()},
        pieces.words(between, kept),
        surgery.taken(lettered),
        surgery.speller(value),
        pieces.fitting(surgery.surface(value)),
        n - len(letters),
        tick=lambda done: say.progress("pieces", done, n - len(letters)),
    )
    say.close()
    learned = pieces.Learned(tuple(letters), tuple(found))
    if not learned.pieces:
        raise InputError(
            f"nothing new can be learned: no pair of neighbours inside a word comes {pieces.FEWEST} times in the texts of "
            f"{', '.join(texts)} and never in those that are kept; give more text"
        )
    without, notes = _intruders(value, learned, kept) if kind == "wordpiece" else (frozenset[str](), [])
    made, new = surgery.extended(value, learned, without=without)
    few = n - len(new)
    if few > 0:
        notes.append(
            f"{n:,} pieces were asked for, and the texts have {len(new):,} that come {pieces.FEWEST} times or more"
        )
    say.line(f"cure      {len(new):,} new pieces, {len(letters):,} of them letters")
    return _Made(made, tuple(new), surgery.parts(value, learned), tuple(notes))


def _intruders(
    value: Mapping[str, Any], learned: pieces.Learned, kept: Sequence[str]
) -> tuple[frozenset[str], list[str]]:
    """WordPiece takes the longest piece, whatever it was before: new ones that stand in kept texts are taken out again."""
    without: set[str] = set()
    for _ in range(ROUNDS):
        made, new = surgery.extended(value, learned, without=frozenset(without))
        inner = surgery.read(made)
        there = {piece for one in inner.encode_batch(list(kept), add_special_tokens=False) for piece in one.tokens}
        found = there & set(new) - set(learned.letters)
        if not found:
            break
        without |= found
    notes = (
        [f"{len(without):,} pieces would have stood in texts of other languages and were left out"] if without else []
    )
    return frozenset(without), notes


def _replaced(
    source: Any, learn: pl.DataFrame, wanted: Sequence[str], n: int, tokenizer: str | None, say: Say
) -> _Made:
    """Another tokenizer: the one that is named, or one with byte fallback that is trained on the texts, of each language
    as many characters."""
    from isogloss.nn import fast, scratch

    if tokenizer is not None:
        other = fast.open_fast(tokenizer)
        return _Made(other.value, (), {}, source=other)
    rows = learn.filter(pl.col("lang").is_in(wanted))
    if n < scratch.LEAST:
        raise InputError(f"{n} pieces are too few: special ones and bytes alone are {scratch.LEAST}")
    say.line(f"cure      training a tokenizer of {n:,} pieces on {rows.height:,} texts")
    inner = scratch.trained(list(scratch.evenly(rows)), n)
    settings = {
        key: v for key, v in source.settings.items() if key in ("model_max_length", "padding_side", "chat_template")
    }
    other = fast.Fast(source.name, json.loads(inner.to_str()), dict(scratch.ROLES), settings, None)
    return _Made(other.value, (), {}, source=other)


# -- rows of the model ------------------------------------------------------------------------------------------------


def _rows(
    source: Any, written: Any, new: Tokenizer, made: _Made, learn: pl.DataFrame, wanted: Sequence[str], vectors: str,
    folder: Path, seed: int, say: Say,
) -> tuple[int, int, int] | None:  # fmt: skip
    """Write the model with its new rows; rows before and after, and how many were drawn. None without a model."""
    if source.model is None:
        return None
    from isogloss.nn import rows

    found = rows.tables(source.model)
    vocab: dict[str, int] = written.get_vocab()
    keep: dict[int, int] | None
    settings: dict[str, Any] = {}
    old = token_files.rust(surgery.read(source.value), source.value, source.name, "tokenizer.json")
    if made.source is None:
        spelled = surgery.read(source.value).get_vocab()
        ids = [vocab[piece] for piece in made.new]
        of = {vocab[piece]: [spelled[part] for part in made.parts[piece]] for piece in made.new}
        keep, n_rows = None, max(found.n_rows, max(vocab.values()) + 1)
    else:
        keep, of, settings = _carried(source, made.source, old, new, written, found.config)
        ids, n_rows = list(of), max(vocab.values()) + 1
    shares: dict[int, list[float]] = {i: [1 / len(some)] * len(some) for i, some in of.items() if some}
    if vectors == "focus":
        from isogloss.nn import companions

        texts = new.encode(learn.filter(pl.col("lang").is_in(wanted))["text"].to_list()).lists()
        known = {i: i for i in new.pieces if i not in of and i not in new.specials} if keep is None else keep
        mixed = companions.mixtures(texts, ids, sorted(set(known) - new.specials), max(vocab.values()) + 1, seed=seed)
        for i, (near, weights) in mixed.items():
            of[i], shares[i] = [known[one] for one in near], weights
        say.line(
            f"cure      {len(mixed):,} of {len(ids):,} new rows begin as what stands in their company, the others as their parts"
        )
    mixture = rows.Mixture(ids, [of[i] for i in ids], [shares.get(i, []) for i in ids], seed)
    rows.write_model(found, folder, n_rows, lambda name, table: rows.grown(table, mixture, n_rows, keep), settings)
    _fits(folder, source.name, n_rows)
    return found.n_rows, n_rows, sum(not of[i] for i in ids)


def _carried(
    source: Any, other: Any, old: Tokenizer, new: Tokenizer, written: Any, config: Mapping[str, Any]
) -> tuple[dict[int, int], dict[int, list[int]], dict[str, Any]]:
    """For another tokenizer: the old row of each piece that both have, what the others are made of, and the special
    numbers for the model's config."""
    vocab, before = written.get_vocab(), surgery.read(source.value).get_vocab()
    roles = {role: (other.specials[role], token) for role, token in source.specials.items() if role in other.specials}
    keep = {vocab[mine]: before[theirs] for mine, theirs in roles.values() if mine in vocab and theirs in before}
    settings: dict[str, Any] = {}
    for role, token in other.specials.items():
        key = f"{role.removesuffix('_token')}_token_id"
        if key in config and token in vocab:
            settings[key] = vocab[token]
    shifted = "roberta" in str(config.get("model_type")) or config.get("model_type") == "camembert"
    if shifted and settings.get("pad_token_id", config.get("pad_token_id")) != config.get("pad_token_id"):
        raise InputError(
            f"positions of a {config['model_type']} begin behind the number of its padding, {config.get('pad_token_id')}, and "
            f"{other.name} has padding at {settings.get('pad_token_id')}; give a tokenizer with padding there"
        )
    place = {_plain(old, i): i for i in sorted(old.pieces, reverse=True) if old.pieces[i]}
    of: dict[int, list[int]] = {}
    loose: list[int] = []
    spelling = {i: piece for piece, i in vocab.items()}
    for i in sorted(new.pieces):
        if i in keep:
            continue
        same = place.get(_plain(new, i)) if new.pieces[i] else before.get(spelling[i])
        if same is not None and i not in new.specials:
            keep[i] = same
        else:
            loose.append(i)
    cut = old.encode([_plain(new, i) for i in loose]).lists()
    for i, ids in zip(loose, cut, strict=True):
        of[i] = [one for one in ids if one not in old.unknown and (old.pieces[one] or "x").strip()]
    return keep, of, settings


def _plain(own: Tokenizer, i: int) -> str:
    """A piece as it stands in running text: with a space before it where it begins a word."""
    text = own.pieces[i] or ""
    if own.kind == "wordpiece" and own.inner is not None and not str(own.inner.id_to_token(i)).startswith("##"):
        return " " + text
    return text


def _fits(folder: Path, name: str, n_rows: int) -> None:
    """See that the architecture of the config has tables of that size, without reading a weight. Raises InputError."""
    import torch
    import transformers

    from isogloss.nn import hub

    try:
        with hub.quiet(), torch.device("meta"):
            config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            kind = next(iter(config.architectures or []), "AutoModel")
            Model: Any = getattr(transformers, kind, transformers.AutoModel)
            net = Model._from_config(config) if Model is not transformers.AutoModel else Model.from_config(config)
        there = net.get_input_embeddings().weight.shape[0]
    except Exception as error:
        said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(
            f"the model of {name} cannot be made with its new rows ({said}); nothing was written"
        ) from None
    if there != n_rows:
        raise InputError(
            f"the model of {name} would have {there:,} rows where {n_rows:,} were written; nothing was written"
        )


# -- what it is worth -----------------------------------------------------------------------------------------------------


def _changed(own: Tokenizer, new: Tokenizer, rows: pl.DataFrame, kept: frozenset[str]) -> tuple[Changed, ...]:
    """Texts of other languages, the kept ones first: how many are cut in another way."""
    out = []
    for (tag,), some in rows.group_by("lang"):
        texts = some["text"].to_list()
        every = list(zip(own.encode(texts).lists(), new.encode(texts).lists(), strict=True))
        pairs = [(a, b) for a, b in every if not set(a) & own.unknown]
        same = [_spelled(own, a) == _spelled(new, b) for a, b in pairs]
        longer = sum(len(b) > len(a) for a, b in pairs)
        before, after = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
        share, ratio = 1 - float(np.mean(same)) if same else 0.0, after / before if before else 1.0
        n_unknown = len(every) - len(pairs)
        out.append(Changed(str(tag), tag in kept, len(pairs), round(share, 4), longer, round(ratio, 4), n_unknown))
    return tuple(sorted(out, key=lambda one: (not one.kept, -one.share, one.lang)))


def _spelled(own: Tokenizer, ids: Sequence[int]) -> list[str]:
    return [str(own.inner.id_to_token(i)) for i in ids]


def _recut(own: Tokenizer, new: Tokenizer, made: _Made, rows: pl.DataFrame) -> float:
    """Of texts that could be written before, the share that is not the old segmentation with some neighbours joined."""
    texts = rows["text"].to_list()
    before, after = own.encode(texts).lists(), new.encode(texts).lists()
    n = otherwise = 0
    for a, b in zip(before, after, strict=True):
        old = _spelled(own, a)
        if set(a) & own.unknown or any(surgery.BYTE.fullmatch(piece) for piece in old):
            continue
        n += 1
        otherwise += [part for piece in _spelled(new, b) for part in made.parts.get(piece) or [piece]] != old
    return round(otherwise / n, 4) if n else 0.0
