"""CURE.md: what was done to a tokenizer, what it is worth by language, and what the model still needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from isogloss.core import lang as lang_table
from isogloss.stages.auditing.text import number, share
from isogloss.stages.markdown import table

if TYPE_CHECKING:
    from isogloss.stages.auditing.found import LangAudit
    from isogloss.stages.cure import Changed, Cure

# Sentences of a language with which a vocabulary was extended usefully: Yamaguchi et al. 2024, arXiv 2406.11477.
SENTENCES = 30_000
SHOWN = 20

WORDS = {
    "extend": "new pieces on top of the old ones",
    "bytes": "the 256 bytes, for what no piece covers",
    "replace": "another tokenizer",
}


def rows(made: Cure) -> list[list[str]]:
    """Before and after by language, on held-out texts, those that were cured first."""
    head = [
        "language",
        "n",
        "premium",
        "after",
        "per char",
        "after",
        "unknown",
        "after",
        "lost",
        "after",
        "whole",
        "after",
    ]
    out = [head]
    order = [*made.langs, *(one.lang for one in made.after.langs if one.lang not in made.langs)]
    for tag in order:
        before, after = made.before.of(tag), made.after.of(tag)
        if before is None or after is None:
            continue
        cells = [
            [number(x.values["premium"]), number(x.values["tokens_per_char"]), *_shares(x)] for x in (before, after)
        ]
        both = [cell for pair in zip(*cells, strict=True) for cell in pair]
        out.append([f"{tag} {lang_table.facts(tag).name}", str(after.n), *both])
    return out


def _shares(one: LangAudit) -> list[str]:
    return [share(one.values["unknown"]), share(one.values["lost"]), share(one.whole)]


def lines(made: Cure) -> Iterator[str]:
    """The lines of CURE.md."""
    yield f"# {made.name}: {WORDS[made.how]}\n"
    said = f"{made.n_new:,} new pieces" if made.how != "replace" else f"{made.n_pieces:,} pieces"
    yield f"{said} for {', '.join(made.langs)}; the tokenizer has {made.n_pieces:,} pieces now. " + rows_said(made)
    yield ""
    yield from (f"- {one}" for one in made.notes)
    where = "texts that were held out" if made.held_out else "the texts that were learned from"
    yield f"\n## Before and after, on {where}\n"
    header, *body = rows(made)
    yield from table(header, body)
    yield (
        "\npremium: tokens for each token of the same content in "
        + made.after.reference
        + (f" (there is none: {made.after.why_no_premium})." if made.after.why_no_premium else ".")
    )
    yield "\n## Other languages\n"
    yield kept_said(made)
    if made.changed:
        yield ""
        shown = _shown(made)
        yield from table(
            ["language", "kept", "n", "cut in another way", "into more tokens", "tokens, after / before", "unknown before"],
            [
                [one.lang, "yes" if one.kept else "no", one.n, f"{100 * one.share:.1f} %", one.longer,
                 f"{one.tokens:.3f}", one.n_unknown]
                for one in shown
            ],
        )  # fmt: skip
        if len(made.changed) > len(shown):
            rest = len(made.changed) - len(shown)
            yield f"\n... and {rest} more languages, of which fewer or no texts changed (cure.json has them)."
    yield "\n## What it needs\n"
    yield from (f"- {one}" for one in what_next(made))


def rows_said(made: Cure) -> str:
    """What happened to the model's tables."""
    if made.n_rows is None:
        return "There are no weights in it, so this is a tokenizer alone."
    before, after = made.n_rows
    how = {
        "mean": "New rows begin as the mean of the old pieces that they are made of",
        "focus": "New rows begin as old ones that stand in the same company (FOCUS, arXiv 2305.14481, with vectors of our "
        "own), rare ones as the mean of their old pieces",
    }[made.vectors]
    drawn = f", {made.n_drawn:,} of which nothing is known around the mean of all rows" if made.n_drawn else ""
    old = (
        "rows of pieces that both tokenizers have are copied"
        if made.how == "replace"
        else "old rows are the same bit by bit"
    )
    return f"The tables of the model had {before:,} rows and have {after:,}. {how}{drawn}; {old}."


def kept_said(made: Cure) -> str:
    """What happens to texts of other languages."""
    if made.how == "replace":
        return "Every text is cut in another way: a model with another tokenizer must be trained on all its languages again."
    if not made.changed:
        return "There was no text of another language to measure on."
    kept = [one for one in made.changed if one.kept]
    n = sum(one.n for one in kept)
    changed, longer = sum(one.share * one.n for one in kept), sum(one.longer for one in kept)
    said = (
        f"Of {n:,} held-out texts that could be written, in {len(kept)} languages that the tokenizer serves well, {100 * changed / n:.2f} % are cut in "
        f"another way, and {longer:,} into more tokens. The others give the model what they gave it before, so its answers "
        "to them are the same."
        if n
        else "The tokenizer served none of the other languages well, so none was kept as it is."
    )
    if len(kept) < len(made.changed):
        said += " A language that needs something itself was not kept: new pieces that fit its texts are a gain."
    return said


def _shown(made: Cure) -> list[Changed]:
    """The languages of the table: kept ones that changed most, and others that changed."""
    kept = [one for one in made.changed if one.kept][: SHOWN // 2]
    others = [one for one in made.changed if not one.kept and one.share][: SHOWN // 2]
    return [*kept, *others]


def what_next(made: Cure) -> Iterator[str]:
    """What the model needs before it is any good with its new pieces, with sources."""
    if made.n_rows is None:
        yield "A tokenizer without a model: train a model with it, or name a model folder to have its rows made."
        return
    n = sum(made.n_texts.values()) / max(1, len(made.n_texts))
    if made.how == "replace":
        yield (
            "The model must learn to read with the new tokenizer: continued pretraining on text of all its languages, all "
            "weights. Zero-shot transfer of a tokenizer left a gap that less than 1 billion tokens closed (Minixhofer et "
            "al. 2024, arXiv 2405.07883)."
        )
    elif made.how == "bytes":
        yield (
            "Texts that were unknown are spelled in bytes now: nothing is lost, and the model has never read a byte. It needs "
            "text of these languages; as sequences are long, extend the vocabulary too."
        )
    else:
        yield (
            "The model has never seen its new pieces. Train it on text of these languages (masked or next-token prediction), "
            "the tables of pieces and the lowest and highest two blocks at least: with 30,000 sentences a language this, "
            "rows that begin as means and short sequences did well (Yamaguchi et al. 2024, arXiv 2406.11477); rows inside "
            "the hull of old ones do as well as costlier beginnings (Mundra et al. 2024, arXiv 2407.05841)."
        )
    enough = "as many as that" if n >= SENTENCES else f"fewer than the {SENTENCES:,} of that study"
    yield f"Text that is here: {n:,.0f} texts a language on average ({made.n_tokens:,} new tokens in all), {enough}."
    yield (
        "isogloss does not train on unlabelled text; transformers' run_mlm.py or run_clm.py takes this folder as it is. "
        "Labelled rows train the new rows too: name the folder in a recipe, and compare with the model before by language."
    )
    yield "Until then expect the cured languages to be worse or better by chance; evaluate before you use it."
