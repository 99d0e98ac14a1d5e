"""The tables that `prepare` writes beside the corpus."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from isogloss.stages.examples import DUPLICATE

DROPPED = dict.fromkeys(("step", "reason", "id", "lang", "source", "origin", "text", "row"), pl.String)
COUNTS = ("n_in", "n_changed", "n_dropped", "n_out")
LEDGER = {**dict.fromkeys(("step", "lang", "source"), pl.String), **dict.fromkeys(COUNTS, pl.Int64)}
SAMPLES = dict.fromkeys(("step", "what", "lang", "source", "id", "reason", "before", "after"), pl.String)


def beside(out: Path, what: str) -> Path:
    """The file `what` of a job that writes at `out`."""
    return out.parent / f"{out.name}.{what}"


def kind(reason: pl.Expr) -> pl.Expr:
    """The part of a reason that many rows share: what stands before the first colon, bracket or quoted value.

    Of duplicates the same as `examples.kind`: whether their labels differ, and not whose they are.
    """
    reason = reason.str.replace(DUPLICATE, "duplicate$1")
    return reason.str.replace(r"(?s)(?:\s*[:(]|\s').*$", "").str.replace(r" of \S+$", "").alias("reason")
