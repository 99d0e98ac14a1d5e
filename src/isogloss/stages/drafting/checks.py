"""checks: what the text steps would do to a sample, so that a proposed recipe says it before anything is run."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from isogloss.core import near, parts
from isogloss.core.say import Say
from isogloss.stages import barrier
from isogloss.stages.drafting.survey import UNKNOWN, Survey
from isogloss.stages.ops import Op

# Units (a syllable or word character counts two) that fill about 512 tokens of the usual multilingual tokenizers,
# which take 3 to 4 letters a token.
LONG_UNITS = 1800
STEPS = ("standardise", "langid", "dedup")
# Rows that langid reads: it takes half a millisecond a row. Of every language at least so many.
READ, READ_EACH = 6_000, 50


@dataclass
class Checks:
    """Counts over the sample, by language. `lost` is by step; `reasons` has what langid said of declared languages."""

    n: Counter[str] = field(default_factory=Counter)
    n_read: Counter[str] = field(default_factory=Counter)
    """rows that langid read"""
    changed: Counter[str] = field(default_factory=Counter)
    garbled: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    long: Counter[str] = field(default_factory=Counter)
    lost: dict[str, Counter[str]] = field(default_factory=lambda: {step: Counter() for step in STEPS})
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    detected: Counter[str] = field(default_factory=Counter)
    """languages that langid gives to rows that name none; "und" where it cannot tell"""
    near_across: Counter[str] = field(default_factory=Counter)
    """rows of train that say nearly the same as a row of dev or test"""
    examples: dict[str, str] = field(default_factory=dict)

    def share(self, step: str, lang: str) -> float:
        """Of the rows of a language, the share that a step would drop."""
        return self.lost[step][lang] / max(1, self._looked(step)[lang])

    def total(self, step: str) -> float:
        return self.lost[step].total() / max(1, self._looked(step).total())

    def _looked(self, step: str) -> Counter[str]:
        return self.n_read if step == "langid" else self.n


def check(seen: Survey, say: Say) -> Checks:
    """Run the text steps on the sample of a survey."""
    found = Checks()
    frame = pl.DataFrame(
        {
            "id": [f"r{i}" for i in range(len(seen.sample))],
            "lang": [None if row["lang"] == UNKNOWN else row["lang"] for row in seen.sample],
            "split": [row["split"] or None for row in seen.sample],
            "label": [row["label"] for row in seen.sample],
            "text": [row["text"] for row in seen.sample],
            "group": [None] * len(seen.sample),
        },
        schema=dict.fromkeys(("id", "lang", "split", "label", "text", "group"), pl.String),
    )
    _texts(found, seen)
    for i, (name, judge) in enumerate((("standardise", _standardise), ("langid", _langid), ("dedup", _dedup))):
        say.progress("checking", i, len(STEPS), "steps")
        frame = judge(parts.load("steps", name), frame, found, seen)
    say.close()
    return found


def _texts(found: Checks, seen: Survey) -> None:
    from ftfy.badness import is_bad

    for row in seen.sample:
        lang, text = row["lang"], row["text"]
        found.n[lang] += 1
        if near.n_units(text) > LONG_UNITS:
            found.long[lang] += 1
        if not text.isascii():
            for name, bad in (("garbled", is_bad(text)), ("replaced", "\ufffd" in text)):
                if bad:
                    getattr(found, name)[lang] += 1
                    found.examples.setdefault(name, row["origin"])


def _kept(step: str, after: pl.DataFrame, found: Checks, before: pl.DataFrame) -> pl.DataFrame:
    gone = before["lang"].fill_null(UNKNOWN).filter(after["drop"].is_not_null())
    found.lost[step].update(gone.to_list())
    return after.filter(pl.col("drop").is_null()).drop("drop")


def _standardise(part: parts.Part, frame: pl.DataFrame, found: Checks, seen: Survey) -> pl.DataFrame:
    after = part.call("apply", frame, knobs=part.bind({}), langs=())
    changed = frame["lang"].fill_null(UNKNOWN).filter(frame["text"].ne_missing(after["text"]))
    found.changed.update(changed.to_list())
    return _kept("standardise", after, found, frame)


def _langid(part: parts.Part, frame: pl.DataFrame, found: Checks, seen: Survey) -> pl.DataFrame:
    knobs = part.bind({})
    cap = max(READ_EACH, READ // max(1, frame["lang"].n_unique()))
    few = pl.int_range(pl.len()).over(pl.col("lang").fill_null(UNKNOWN)) < cap
    whole, frame = frame, frame.filter(few)
    found.n_read.update(frame["lang"].fill_null(UNKNOWN).to_list())
    # Only rows without a language need the counts of the others.
    known = frame if frame["lang"].null_count() else frame.clear()
    decision = part.call("decide", part.call("summarise", known, knobs=knobs, langs=()), knobs=knobs, langs=())
    after = part.call("apply", frame, decision, knobs=knobs, langs=())
    for before, lang, reason in zip(
        frame["lang"].to_list(), after["lang"].to_list(), after["drop"].to_list(), strict=True
    ):
        if before is None:
            found.detected[lang or UNKNOWN] += 1
        elif reason:
            said = re.search(r"says (\w+)", reason)
            found.reasons.setdefault(before, Counter())[f"reads as {said[1]}" if said else "is in another script"] += 1
    stay = _kept("langid", after, found, frame)
    return pl.concat([stay, whole.join(frame, on="id", how="anti")])


def _dedup(part: parts.Part, frame: pl.DataFrame, found: Checks, seen: Survey) -> pl.DataFrame:
    op = Op("dedup", part.bind({}))
    decision = barrier.alone(op, frame)
    split = dict(zip(frame["id"].to_list(), frame["split"].to_list(), strict=True))
    lang = dict(zip(frame["id"].to_list(), frame["lang"].to_list(), strict=True))
    after = op.call("apply", frame, decision)
    for name, why in after.filter(pl.col("drop").is_not_null()).select("id", "drop").iter_rows():
        twin = re.match(r"(?:exact |near-)duplicate of (r\d+)", why)
        if twin and split[name] == "train" and split.get(twin[1]) in ("dev", "test"):
            found.near_across[lang[name] or UNKNOWN] += 1
    return _kept("dedup", after, found, frame)
