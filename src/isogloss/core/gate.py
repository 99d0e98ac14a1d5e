"""Gate: a condition on scores that gives a verdict with reasons. Pure: frames in, a Verdict out.

Gates compare intervals, not points. A condition on a value holds when the whole interval is on the right side, is
refused when the whole interval is on the wrong side, and otherwise nobody can tell, which blocks promotion and never
triggers a rollback. Numbers of rows are compared exactly. A frame that counts everything and samples nothing (the
ledger of `prepare`) says so with low = high = value.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from isogloss.core.errors import RecipeError, nearest

if TYPE_CHECKING:  # a recipe reads conditions from here, and must not wait for polars
    import polars as pl

Outcome = Literal["holds", "refused", "cannot tell"]
_OPS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_WORDS = {
    "refused": {">=": "is below", ">": "is not above", "<=": "is above", "<": "is not below"},
    "holds": {">=": "is at least", ">": "is above", "<=": "is at most", "<": "is below"},
}

_BEATS: dict[str, tuple[Outcome, str]] = {
    "better": ("holds", "is better than"),
    "worse": ("refused", "is worse than"),
    "cannot tell": ("cannot tell", "cannot be told from"),
}


@dataclass(frozen=True)
class Gate:
    """What must hold at a moment. Conditions are words such as ">= 0.55", by metric.

    `every_lang` holds for each language alone (`n`: rows behind the score); `mean`, `worst` (the mean of the worst
    tenth) and `gap` (best - worst language) for all of them; `beats` names systems and the metric in which the model
    must be better than they are, in every language, paired.
    """

    at: str = "promote"
    every_lang: Mapping[str, str] = field(default_factory=dict)
    gap: Mapping[str, str] = field(default_factory=dict)
    mean: Mapping[str, str] = field(default_factory=dict)
    worst: Mapping[str, str] = field(default_factory=dict)
    beats: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Gate:
        """Read a gate from a table of the recipe. Raises RecipeError for an unknown key or an unreadable condition."""
        known = [f.name for f in fields(cls)]
        for key, given in table.items():
            if key not in known:
                raise RecipeError(f"a gate has no key '{key}'{nearest(key, known)}", key=key)
            if key == "at":
                if not isinstance(given, str):
                    raise RecipeError(f"a gate's `at` names a stage such as 'promote', not {given!r}", key=key)
                continue
            if not isinstance(given, Mapping):
                raise RecipeError(f"a gate's `{key}` is a table of conditions by metric, not {given!r}", key=key)
            for name, condition in given.items():
                if key != "beats":
                    parse_condition(condition, key=f"{key}.{name}")
                elif not isinstance(condition, str):
                    raise RecipeError(f"a gate's `beats.{name}` names a metric, not {condition!r}", key=f"beats.{name}")
        return cls(**table)


@dataclass(frozen=True)
class Reason:
    """One condition on one language (or on all, lang "") and what became of it; `text` is one plain sentence."""

    scope: str
    lang: str
    metric: str
    asked: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Verdict:
    """What a gate says. `ok` only when everything holds; `reasons` has every condition, the refusals first."""

    reasons: tuple[Reason, ...]

    @property
    def outcome(self) -> Outcome:
        for outcome in _ORDER:
            if any(reason.outcome == outcome for reason in self.reasons):
                return outcome
        return "holds"

    @property
    def ok(self) -> bool:
        return self.outcome == "holds"

    @property
    def against(self) -> tuple[Reason, ...]:
        """The reasons that do not hold."""
        return tuple(reason for reason in self.reasons if reason.outcome != "holds")


_ORDER: tuple[Outcome, ...] = ("refused", "cannot tell", "holds")


def parse_condition(text: object, *, key: str = "") -> tuple[str, float]:
    """Read a condition.

    >>> parse_condition(">= 0.55")
    ('>=', 0.55)

    Raises RecipeError when it is not `>=`, `<=`, `>` or `<` and a number.
    """
    match = re.fullmatch(
        r"\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*", text if isinstance(text, str) else ""
    )
    number = float(match[2]) if match else math.nan
    if match is None or not math.isfinite(number):
        where = f" for '{key}'" if key else ""
        raise RecipeError(
            f"{text!r} is not a condition{where}; write a comparison and a number, such as '>= 0.55'", key=key
        )
    return match[1], number


def judge(
    gate: Gate,
    scores: pl.DataFrame,
    langs: Sequence[str],
    *,
    system: str = "model",
    paired: Mapping[str, pl.DataFrame] | None = None,
) -> Verdict:
    """Judge the scores of `system` (any frame of `report.SCORES_SCHEMA`) for the declared languages.

    A declared language without rows is refused whatever the gate asks, and so is a run without languages.
    `paired` holds, by the system that `gate.beats` names, the frame `report.paired(model, that system)`.
    """
    rows = {(r["metric"], r["by"], r["key"]): r for r in scores.iter_rows(named=True) if r["system"] == system}
    n_rows: dict[str, int] = {}
    for (_, by, key), row in rows.items():
        if by == "lang":
            n_rows[key] = max(n_rows.get(key, 0), row["n"] or 0)
    reasons = []
    if not langs:
        reasons.append(_without("every_lang", "", "n", "> 0", "no language is declared, so there is nothing to judge"))
    for lang in langs:
        if not n_rows.get(lang):
            reasons.append(_without("every_lang", lang, "n", "> 0", f"{lang}: no evaluated rows"))
            continue
        named = [rows.get((metric, "lang", lang)) for metric in gate.every_lang if metric != "n"]
        counts = [row["n"] or 0 for row in named if row]
        for metric, asked in gate.every_lang.items():
            if metric == "n":
                reasons.append(_count(lang, min(counts, default=n_rows[lang]), asked))
            else:
                reasons.append(_condition("every_lang", lang, metric, asked, rows.get((metric, "lang", lang))))
    for scope in ("gap", "mean", "worst"):
        for metric, asked in getattr(gate, scope).items():
            reasons.append(_condition(scope, "", metric, asked, rows.get((metric, "all", scope))))
    for other, metric in gate.beats.items():
        reasons.extend(_beats(other, metric, langs, (paired or {}).get(other)))
    return Verdict(tuple(sorted(reasons, key=lambda reason: _ORDER.index(reason.outcome))))


def _without(scope: str, lang: str, metric: str, asked: str, text: str, outcome: Outcome = "refused") -> Reason:
    return Reason(scope, lang, metric, asked, None, None, None, 0, outcome, text)


def _count(lang: str, n: int, asked: str) -> Reason:
    op, number = parse_condition(asked)
    outcome: Outcome = "holds" if _OPS[op](n, number) else "refused"
    text = f"{lang}: n {n} {_WORDS[outcome][op]} {number:g}"
    return Reason("every_lang", lang, "n", asked, float(n), float(n), float(n), n, outcome, text)


def _condition(scope: str, lang: str, metric: str, asked: str, row: dict[str, Any] | None) -> Reason:
    op, number = parse_condition(asked)
    who = f"{lang}: {metric}" if lang else f"{scope} of {metric}"
    if row is None or row["value"] is None:
        return _without(scope, lang, metric, asked, f"{who} has no value" if row else f"{who} was not evaluated")
    value, low, high, n = row["value"], row["low"], row["high"], row["n"]
    if low is None or high is None:
        outcome: Outcome = "cannot tell"
        text = f"{who} {value:.2f} (n={n}) has no interval, so it cannot be compared with {number:g}"
    else:
        meets = _OPS[op]
        ends = (meets(low, number), meets(high, number))
        outcome = "holds" if all(ends) else "cannot tell" if any(ends) else "refused"
        said = f"{who} {_short(value, number)} [{_short(low, number)}, {_short(high, number)}] (n={n})"
        if outcome == "cannot tell":
            text = f"{said} may lie on either side of {number:g}: the interval holds it"
        else:
            text = f"{said} {_WORDS[outcome][op]} {number:g}"
    return Reason(scope, lang, metric, asked, value, low, high, n, outcome, text)


def _short(x: float, number: float) -> str:
    """Two decimals, more where two would hide on which side of the asked number x is."""
    for digits in (2, 3, 4):
        if (round(x, digits) < number) == (x < number) and (round(x, digits) > number) == (x > number):
            return f"{x:.{digits}f}"
    return f"{x:.6g}"


def _beats(other: str, metric: str, langs: Sequence[str], frame: pl.DataFrame | None) -> list[Reason]:
    asked = f"better than {other}"
    compared = frame.iter_rows(named=True) if frame is not None else ()
    rows = {row["key"]: row for row in compared if row["by"] == "lang" and row["metric"] == metric}
    reasons = []
    for lang in langs:
        row = rows.get(lang)
        if row is None or row["diff"] is None:
            reasons.append(_without("beats", lang, metric, asked, f"{lang}: {metric} was not compared with {other}"))
            continue
        outcome, words = _BEATS[row["verdict"]]
        reasons.append(_paired_reason("beats", lang, metric, asked, row, outcome, f"{words} {other}"))
    return reasons


def _paired_reason(
    scope: str, lang: str, metric: str, asked: str, row: dict[str, Any], outcome: Outcome, words: str
) -> Reason:
    low, high = row["low_corrected"], row["high_corrected"]
    known = f" [{low:+.3f}, {high:+.3f}]" if low is not None else ""
    text = f"{lang}: {metric} {words}: {row['diff']:+.3f}{known} (n={row['n']})"
    return Reason(scope, lang, metric, asked, row["diff"], low, high, row["n"], outcome, text)


def dropped(frame: pl.DataFrame, allowed: float, *, confidence: float = 0.95) -> Verdict:
    """Say which languages lost more than `allowed`: roll back only when the outcome is "refused".

    `frame` is `report.paired(new, before)`. A drop counts ("refused") when the paired interval of a language,
    one-sided and corrected over languages by Holm, lies beyond `allowed`: (loss - allowed) / se against t, and never
    with less doubt than the rule of three leaves. "holds": the corrected interval shows that less was lost. Between
    the two, and below 10 units, nobody can tell.
    """
    from isogloss.core.resampling import holm

    rows = frame.to_dicts()
    adjusted = holm([_drop_p(row, allowed) for row in rows])
    asked = f"drop <= {allowed:g}"
    reasons = []
    outcome: Outcome
    for row, p in zip(rows, adjusted, strict=True):
        kept_low = row["low_corrected"] if row["better"] == "higher" else _minus(row["high_corrected"])
        if row["diff"] is None:
            text = f"{row['key']}: {row['metric']} was not compared"
            reasons.append(_without("drop", row["key"], row["metric"], asked, text, "cannot tell"))
            continue
        if not math.isnan(p) and p < 1 - confidence:
            outcome, words = "refused", f"lost more than the allowed {allowed:g} (p={p:.2g}, corrected)"
        elif kept_low is not None and kept_low > -allowed:
            outcome, words = "holds", f"lost less than the allowed {allowed:g}"
        else:
            outcome, words = "cannot tell", f"may or may not have lost the allowed {allowed:g}"
        reasons.append(_paired_reason("drop", row["key"], row["metric"], asked, row, outcome, words))
    return Verdict(tuple(sorted(reasons, key=lambda reason: _ORDER.index(reason.outcome))))


def _minus(x: float | None) -> float | None:
    return None if x is None else -x


def _drop_p(row: dict[str, Any], allowed: float) -> float:
    """One-sided p of "no more than `allowed` was lost"; NaN where it cannot be tested."""
    from scipy.special import stdtr

    from isogloss.core.resampling import FEW_UNITS

    if row["diff"] is None or row["se"] is None or row["n_units"] < FEW_UNITS:
        return math.nan
    beyond = (-row["diff"] if row["better"] == "higher" else row["diff"]) - allowed
    if beyond <= 0:
        return 1.0
    finite = row["width"] is not None and math.isfinite(row["width"])
    if row["se"] == 0 and not finite:
        return math.nan
    by_t = float(stdtr(row["n_units"] - 1, -beyond / row["se"])) if row["se"] else 0.0
    return max(by_t, math.exp(-row["n_units"] * beyond / row["width"]) if finite else 0.0)
