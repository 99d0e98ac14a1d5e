"""What an audit finds, as frozen values: of the tokenizer, and of each language and script, the worst first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from isogloss.core import lang as lang_table
from isogloss.core.tax import BROKEN, COSTLY, FEW_PIECES, MEASURES, PARTS, SPELLED, VERDICTS
from isogloss.core.tokens import Tokenizer

if TYPE_CHECKING:
    import polars as pl

    from isogloss.stages.auditing.capacity import Capacity, Room
    from isogloss.stages.auditing.inflection import Inflection


@dataclass(frozen=True)
class Value:
    """A value with its interval; `n`: texts, words or stems behind it. None where it cannot be told."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def document(self) -> dict[str, Any]:
        return {name: round(v, 6) if isinstance(v, float) else v for name, v in vars(self).items()}


@dataclass(frozen=True)
class Moved:
    """The tax of a variant in one language: `tokens` how far they move, `longer` tokens after over before, `vectors`
    one less the cosine of the model's vectors; None without a model. `n` of `tokens` counts the texts it changes."""

    tokens: Value
    longer: float | None
    vectors: Value | None = None

    def document(self) -> dict[str, Any]:
        longer = None if self.longer is None else round(self.longer, 4)
        found = {"moved": self.tokens.document(), "longer": longer}
        return found if self.vectors is None else found | {"vectors_moved": self.vectors.document()}


@dataclass(frozen=True)
class LangAudit:
    """One language: `n` texts of the sample, of `n_read`; its measures by name; what it needs and why; which known
    models are said to serve it (`better`)."""

    lang: str
    n: int
    n_read: int
    verdict: str
    needs: tuple[str, ...]
    reasons: tuple[str, ...]
    values: Mapping[str, Value]
    whole: Value
    context_words: Value
    money: Mapping[str, float]
    variants: Mapping[str, Moved]
    capacity: Capacity
    inflection: Inflection
    better: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)
    """Why a measure has no value."""

    @property
    def name(self) -> str:
        return lang_table.facts(self.lang).name

    def document(self) -> dict[str, Any]:
        premium, latency = self.values["premium"], self.values["latency"]
        return {
            "lang": self.lang,
            "name": self.name,
            "script": self.lang[4:],
            "n": self.n,
            "n_read": self.n_read,
            "verdict": self.verdict,
            "needs": list(self.needs),
            "reasons": list(self.reasons),
            "better": list(self.better),
            **{name: value.document() for name, value in self.values.items()},
            "tokens_per_word": self.values["fertility"].document(),
            "kept_whole": self.whole.document(),
            "context_words": self.context_words.document(),
            "cost_factor": premium.document(),
            "latency_factor": latency.document(),
            **({"money": dict(self.money)} if self.money else {}),
            "variants": {name: moved.document() for name, moved in self.variants.items()},
            "capacity": asdict(self.capacity),
            "inflection": {k: v for k, v in asdict(self.inflection).items() if v is not None and v != ""},
            "why_none": dict(self.why),
        }


@dataclass(frozen=True)
class ScriptAudit:
    """One script: the same over the texts of all its languages."""

    script: str
    langs: tuple[str, ...]
    n: int
    values: Mapping[str, Value]
    whole: Value
    context_words: Value
    variants: Mapping[str, Moved]

    def document(self) -> dict[str, Any]:
        found = {name: value.document() for name, value in self.values.items()}
        return {
            "script": self.script,
            "langs": list(self.langs),
            "n": self.n,
            **found,
            "tokens_per_word": self.values["fertility"].document(),
            "kept_whole": self.whole.document(),
            "context_words": self.context_words.document(),
            "variants": {name: moved.document() for name, moved in self.variants.items()},
        }


@dataclass(frozen=True)
class Audit:
    """What `stages.audit.audit` finds: `langs` and `scripts`, the worst first. `why_no_premium` where there is none."""

    tokenizer: Tokenizer
    reference: str
    langs: tuple[LangAudit, ...]
    scripts: tuple[ScriptAudit, ...]
    room: Room
    max_length: int | None
    width: int
    signature: str
    confidence: float
    why_no_premium: str = ""
    notes: tuple[str, ...] = ()

    @property
    def flagged(self) -> tuple[LangAudit, ...]:
        """The languages that need something."""
        return tuple(one for one in self.langs if one.needs)

    @property
    def broken(self) -> tuple[str, ...]:
        """The languages that the tokenizer cannot write."""
        return tuple(one.lang for one in self.langs if one.verdict == "broken")

    def of(self, lang: str) -> LangAudit | None:
        """The audit of one language; None where it has no text."""
        return next((one for one in self.langs if one.lang == lang), None)

    @property
    def scores(self) -> pl.DataFrame:
        """The measures as scores of the system "tokenizer" (`report.SCORES_SCHEMA`): what gates at train judge."""
        import polars as pl

        from isogloss.core.report import SCORES_SCHEMA

        rows = [
            ("tokenizer", name, by, key, v.value, v.low, v.high, v.n, f"{name}|{self.signature}")
            for by, some in (("lang", self.langs), ("script", self.scripts))
            for one in some
            for key in (one.lang if isinstance(one, LangAudit) else one.script,)
            for name, v in one.values.items()
        ]
        return pl.DataFrame(rows, schema=SCORES_SCHEMA, orient="row")

    def document(self) -> dict[str, Any]:
        """As plain JSON; no text of the sample is in it."""
        own = self.tokenizer
        needs: dict[str, list[str]] = {}
        for one in self.langs:
            for need in one.needs:
                needs.setdefault(need, []).append(one.lang)
        return {
            "tokenizer": {
                "name": own.name,
                "kind": own.kind,
                "source": own.source,
                "n_vocab": own.n_vocab,
                "fallback": own.fallback,
                "lowercases": own.lowercases,
                "max_length": self.max_length,
                "width": self.width,
                "notes": list(own.notes),
            },
            "reference": self.reference,
            "why_no_premium": self.why_no_premium,
            "needs": needs,
            "broken": list(self.broken),
            "langs": [one.document() for one in self.langs],
            "scripts": [one.document() for one in self.scripts],
            "room": asdict(self.room),
            "limits": {
                "broken_above": BROKEN, "costly_above": COSTLY, "spelled_from": SPELLED, "parts_above": PARTS,
                "few_pieces_below": FEW_PIECES,
            },
            "measures": {name: measure.says for name, measure in MEASURES.items()},
            "confidence": self.confidence,
            "signature": self.signature,
            "notes": list(self.notes),
        }  # fmt: skip


def badness(one: LangAudit) -> tuple[float, ...]:
    """What languages are sorted by: verdict, then how much is lost, then what is paid."""

    def value(name: str) -> float:
        found = one.values[name].value
        return -1.0 if found is None else found

    lost = max(value("unknown"), value("lost")) if one.verdict == "broken" else 0.0
    return (VERDICTS.index(one.verdict), -lost, -value("premium"), -value("tokens_per_char"))
