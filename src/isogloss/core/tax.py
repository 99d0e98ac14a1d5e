"""What a tokenizer costs a language: the measures of an audit, the limits that name a language, and their sources.

Every measure is a ratio of two counts that are summed over texts, so that intervals, slices and gates are those of all
scores (`core/report.py`). A recipe may set limits on them before training: `[[gate]] at = "train"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What is counted of each text.
COUNTS = (
    "tokens", "words", "chars", "bytes", "unknown", "visible", "lost", "continued", "parts",
    "tied", "reference", "tied_work", "reference_work", "read", "changed",
)  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """A ratio of two counts: `over` / `under`. `most` is the largest value that it can have; `says` explains it."""

    name: str
    over: str
    under: str
    says: str
    most: float = float("inf")
    words: bool = False
    """Whether it needs words."""
    better: str = "lower"


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("premium", "tied", "reference", "tokens for each token of the same content in the reference language"),
        Measure("fertility", "tokens", "words", "tokens for each word, punctuation among the tokens", words=True),
        Measure("tokens_per_char", "tokens", "chars", "tokens for each character (code point)"),
        Measure("tokens_per_byte", "tokens", "bytes", "tokens for each byte of UTF-8"),
        Measure("unknown", "unknown", "tokens", "share of the tokens that stand for text which cannot be written", 1.0),
        Measure("lost", "lost", "visible", "share of the visible characters that no known token stands for", 1.0),
        Measure("parts", "parts", "tokens", "share of the tokens that are pieces of characters (bytes)", 1.0),
        Measure("continued", "continued", "words", "share of the words that take two tokens or more", 1.0, words=True),
        Measure(
            "round_trip_loss", "changed", "read", "share of the characters that are not there again after decoding", 1.0
        ),
        Measure(
            "latency", "tied_work", "reference_work", "multiplications of a forward pass for each of the reference's"
        ),
    )
}

# Rows with more unknown tokens are left out of the published comparison (Petrov et al. 2023, arXiv 2305.15425): their
# length says nothing. Neighbours that are unknown may be one token, so the characters lost are held to the same limit.
BROKEN = 0.1
# Nine of ten languages stay below this premium over English in the tokenizers that were made for a hundred languages or
# more (table of Petrov et al. 2023: NLLB 1.6, M2M100 and mT5 1.8, XLM-R 1.9; `python benchmarks/audit.py` prints it).
COSTLY = 2.0
# A vocabulary that needs a token a character holds nothing of the language but its alphabet, unless words are so short
# (Han) that they take fewer than two tokens; most tokens being pieces of characters: not even its alphabet is held.
SPELLED, SHORT, PARTS = 1.0, 2.0, 0.5
# So few pieces with letters of a script cannot hold its words; the model above can hardly have read any.
FEW_PIECES = 100
# Fertility and continued words are shown (Rust et al. 2021, arXiv 2012.15613: languages that the vocabulary serves well
# lose little against monolingual models, others gain from a tokenizer of their own), but name no language by themselves:
# words differ in length from language to language, and what is paid is tokens (Ahia et al. 2023, arXiv 2305.13707).

VERDICTS = ("broken", "spelled", "costly", "fine")


@dataclass(frozen=True)
class Judged:
    """`verdict`: one of VERDICTS; what the language `needs`, and why."""

    verdict: str
    needs: tuple[str, ...]
    reasons: tuple[str, ...]


def judged(
    values: Mapping[str, float | None], *, fallback: bool, kind: str, n_script: int | None, script: str
) -> Judged:
    """What a language needs, from the values of its measures.

    `n_script`: pieces with letters of its script; None where pieces are no text.
    """
    reasons, needs = [], []
    unknown, lost, premium = values.get("unknown"), values.get("lost"), values.get("premium")
    per_char, fertility, parts = (values.get(name) for name in ("tokens_per_char", "fertility", "parts"))
    broken = max(unknown or 0.0, lost or 0.0) > BROKEN
    few = n_script is not None and n_script < FEW_PIECES and kind not in ("bytes", "characters")
    if broken:
        what = []
        if (unknown or 0.0) > BROKEN:
            what.append(f"{100 * (unknown or 0):.0f} % of the tokens are unknown")
        if (lost or 0.0) > BROKEN:
            what.append(f"{100 * (lost or 0):.0f} % of the characters are lost")
        cheap = "; that it looks cheap means nothing" if premium is not None and premium < COSTLY else ""
        reasons.append(" and ".join(what) + cheap)
        needs.append("byte fallback" if kind in ("unigram", "bpe") and not fallback else "another vocabulary")
    spelled = kind not in ("bytes", "characters") and not broken
    if spelled and (parts or 0.0) > PARTS:
        reasons.append(
            f"{100 * (parts or 0):.0f} % of the tokens are pieces of characters: the alphabet is not in the vocabulary"
        )
    elif spelled and (per_char or 0.0) >= SPELLED and (fertility is None or fertility >= SHORT):
        reasons.append(f"{per_char:.2f} tokens a character: the vocabulary holds no more than the alphabet")
    else:
        spelled = False
    costly = not broken and (premium or 0.0) > COSTLY
    if costly:
        reasons.append(f"it takes {premium:.1f} times the tokens of the reference language")
    if (spelled or costly) and kind not in ("bytes", "characters"):
        needs.append("another vocabulary")
    if few and (broken or spelled or costly):
        pieces = "no piece" if not n_script else f"only {n_script:,} piece{'s' * (n_script > 1)}"
        reasons.append(f"{pieces} of the vocabulary {'has' if (n_script or 0) < 2 else 'have'} letters of {script}")
        needs.append("another model")
    if costly and kind in ("bytes", "characters"):
        needs.append("another model")
    verdict = "broken" if broken else "spelled" if spelled else "costly" if costly else "fine"
    return Judged(verdict, tuple(dict.fromkeys(needs)), tuple(reasons))
