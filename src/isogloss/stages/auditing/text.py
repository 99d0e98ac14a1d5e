"""An audit as tables and sentences, for the screen and for reports."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from isogloss.stages.auditing.found import Audit, LangAudit, Moved, Value
from isogloss.stages.auditing.variants import VARIANTS

HEAD = ["language", "n", "verdict", "premium", "interval", "per word", "per char", "unknown", "lost", "whole"]
MOST = 40
NONE = Value(None, None, None, 0)


def rows(audit: Audit, most: int = MOST) -> list[list[str]]:
    """The table by language, worst first. `typo` and `case`: the share of the tokens that move; `vectors`: one less the
    cosine of a text's vector and that of the text with typos, where a model was given."""
    context = any(one.context_words.value is not None for one in audit.langs)
    vectors = any(one.variants["typo"].vectors is not None for one in audit.langs)
    head = [*HEAD, *(["words read"] if context else []), "typo", *(["vectors"] if vectors else []), "case"]
    body = []
    for one in audit.langs[:most]:
        premium = one.values["premium"]
        body.append(
            [
                f"{one.lang} {one.name}",
                str(one.n),
                one.verdict,
                number(premium),
                interval(premium),
                *(number(one.values[name]) for name in ("fertility", "tokens_per_char")),
                *(share(one.values[name]) for name in ("unknown", "lost")),
                share(one.whole),
                *([f"{one.context_words.value:,.0f}" if one.context_words.value else "–"] if context else []),
                tax(one.variants["typo"]),
                *([number(one.variants["typo"].vectors or NONE)] if vectors else []),
                tax(max((one.variants[name] for name in ("upper", "lower")), key=lambda m: m.tokens.value or 0.0)),
            ]
        )
    return [head, *body]


def script_rows(audit: Audit) -> list[list[str]]:
    """The table by script."""
    head = ["script", "n", "languages", "premium", "interval", "per word", "per char", "unknown", "lost"]
    body = [
        [
            one.script,
            str(one.n),
            str(len(one.langs)),
            number(one.values["premium"]),
            interval(one.values["premium"]),
            *(number(one.values[name]) for name in ("fertility", "tokens_per_char")),
            *(share(one.values[name]) for name in ("unknown", "lost")),
        ]
        for one in audit.scripts
    ]
    return [head, *body]


def number(value: Value) -> str:
    return "–" if value.value is None else f"{value.value:.2f}"


def interval(value: Value) -> str:
    return "" if value.low is None or value.high is None else f"[{value.low:.2f}, {value.high:.2f}]"


def share(value: Value) -> str:
    """A share in percent; never "0 %" for what is not nothing.

    >>> share(Value(0.0004, 0.0, 0.1, 5)), share(Value(0.0, 0.0, 0.1, 5))
    ('<0.1 %', '0 %')
    """
    if value.value is None:
        return "–"
    if 0 < value.value < 0.001:
        return "<0.1 %"
    return f"{100 * value.value:.1f} %" if 0 < value.value < 0.1 else f"{100 * value.value:.0f} %"


def tax(moved: Moved) -> str:
    return "–" if moved.tokens.value is None else f"{moved.tokens.value:.2f}"


def head(audit: Audit) -> str:
    """What was audited, in a line."""
    own = audit.tokenizer
    n = sum(one.n for one in audit.langs)
    fallback = ", every text can be written" if own.fallback else ""
    return (
        f"{own.name}: {own.kind}, {own.n_vocab:,} pieces{fallback}; "
        f"{n:,} text{'s' * (n > 1)} in {len(audit.langs)} language{'s' * (len(audit.langs) > 1)}, worst first"
    )


def prose(audit: Audit, width: int) -> Iterator[str]:
    """What languages need and why, the room that is left, and what is not known; lines of at most `width`."""
    if audit.why_no_premium:
        yield from textwrap.wrap(f"no premium over {audit.reference}: {audit.why_no_premium}", width)
    for one in audit.flagged:
        text = f"{one.lang} {one.name} needs {listed(one.needs)}: {'; '.join(one.reasons)}."
        if one.better:
            text += f" Known to serve it: {', '.join(one.better)}."
        yield from textwrap.wrap(text, width, subsequent_indent="  ")
    if not audit.flagged:
        yield from textwrap.wrap("No language is broken, spelled out, or costly beyond the limits.", width)
    elif way := cure(audit):
        yield from textwrap.wrap(way, width, subsequent_indent="  ")
    room = audit.room
    left = [f"{room.reserved:,} reserved places can be given away"] if room.reserved else []
    if room.rows_without_piece:
        left.append(f"{room.rows_without_piece:,} rows of the model's table have no piece")
    text = f"{room.never:,} of {room.n_vocab:,} pieces are in no text of the sample"
    yield from textwrap.wrap("; ".join([text, *left]) + ".", width, subsequent_indent="  ")


def cure(audit: Audit) -> str:
    """The command that would help, where one would."""
    langs = [one.lang for one in audit.flagged if "another model" not in one.needs]
    langs = langs or [one.lang for one in audit.flagged]
    needs = {need for one in audit.flagged for need in one.needs}
    how = "bytes" if needs == {"byte fallback"} else "extend"
    name = audit.tokenizer.name
    return f"What would help: isogloss cure {name} --by {how} --langs {','.join(langs[:8])} --text FILE --out DIR"


def details(one: LangAudit) -> Iterator[str]:
    """Everything of one language, for a report: the variant tax, the capacity, the inflection probe."""
    moved = [f"{name} {tax(value)} (n={value.tokens.n})" for name, value in one.variants.items() if value.tokens.n]
    yield "share of the tokens that move: " + (", ".join(moved) if moved else "no variant changes a text")
    held = one.capacity
    if held.script_pieces is not None:
        yield (
            f"{held.script_pieces:,} pieces ({held.script_share:.2%} of the vocabulary) have letters of {one.lang[4:]}; "
            f"{held.seen:,} are in its texts, {held.own:,} of them in no other language of the sample"
        )
    probe = one.inflection
    if probe.kept is None:
        yield f"inflection: not known ({probe.why})"
    else:
        yield (
            f"inflection: {probe.kept:.2f} [{probe.low:.2f}, {probe.high:.2f}] of a stem is in the same pieces through "
            f"its forms ({probe.n_pairs} pairs of {probe.n_stems} stems)"
        )


def listed(words: Sequence[str]) -> str:
    """Words with commas and `and`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def variants_explained() -> dict[str, str]:
    """What each variant does."""
    return {name: (write.__doc__ or "").split("\n")[0].rstrip(".") for name, write in VARIANTS.items()}
