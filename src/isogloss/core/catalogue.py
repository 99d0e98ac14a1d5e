"""The catalogue: models that a plan may recommend, as data in assets/catalogue, and what of it is known and what is not.

A row is facts with their sources. What can be computed, parameters by method, memory and seconds, is not in it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from isogloss.core import architecture, lang
from isogloss.core.architecture import Architecture
from isogloss.core.errors import InputError, nearest

FOLDER = Path(__file__).parents[1] / "assets" / "catalogue"
Covers = Literal["yes", "other script", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Model:
    """A row. `languages` None: no list is published; `commercial` None: nobody could tell; `arch` None: no weights;
    `xnli` None: not known, else points over XLM-R base."""

    name: str
    kind: str
    parameters: int | None
    languages: frozenset[str] | None
    languages_source: str
    licence: str
    commercial: bool | None
    gated: bool
    tokenizer: str
    context: int | None
    domain: str
    head: str
    source: str
    checked: str
    unsure: str
    note: str
    arch: Architecture | None
    xnli: float | None = None
    xnli_source: str = ""

    @property
    def hosted(self) -> bool:
        return self.kind == "hosted"

    @property
    def tokenizer_kind(self) -> str:
        """unigram, bpe or wordpiece, or nothing."""
        return self.tokenizer.partition(",")[0]

    @property
    def by_bytes(self) -> bool:
        """Whether what the pieces lack is read as bytes, so that no text is unknown."""
        return "bytes" in self.tokenizer

    def covers(self, tag: str) -> Covers:
        """Whether it was trained on a language, by its authors' list."""
        if self.languages is None:
            return "unknown"
        if tag in self.languages:
            return "yes"
        return "other script" if any(own[:3] == tag[:3] for own in self.languages) else "no"

    def kin(self, tag: str) -> str | None:
        """A language of the same genus that it has read in this script, for one that it has read in another; or None."""
        if self.covers(tag) != "other script":
            return None
        genus = lang.facts(tag).genus
        beside = (own for own in sorted(self.languages or ()) if own[4:] == tag[4:] and lang.facts(own).genus == genus)
        return None if genus == lang.UNKNOWN else next(beside, None)

    def reads(self, tag: str) -> bool | None:
        """Whether it can be taken to read a language: it is on its list, or it and its script are; None: nobody knows."""
        return None if self.languages is None else self.covers(tag) == "yes" or self.kin(tag) is not None

    def lacks(self, tags: Iterable[str]) -> list[str]:
        """Those of the languages that are not on its list."""
        return [tag for tag in tags if self.covers(tag) != "yes"]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "name": self.name, "kind": self.kind, "parameters": self.parameters,
            "languages": None if self.languages is None else sorted(self.languages),
            "languages_source": self.languages_source, "licence": self.licence, "commercial": self.commercial,
            "gated": self.gated, "tokenizer": self.tokenizer, "context": self.context, "domain": self.domain,
            "head": self.head, "layers": self.arch.layers if self.arch else None,
            "width": self.arch.width if self.arch else None, "heads": self.arch.heads if self.arch else None,
            "kv_heads": self.arch.kv_heads if self.arch else None, "ffn": self.arch.ffn if self.arch else None,
            "vocab": self.arch.vocab if self.arch else None, "xnli_over_xlm_r_base": self.xnli,
            "xnli_source": self.xnli_source, "source": self.source, "checked": self.checked,
            "unsure": self.unsure, "note": self.note,
        }  # fmt: skip


@cache
def models() -> Mapping[str, Model]:
    """All rows, by name, in the order of the file."""
    lists = tomllib.loads((FOLDER / "languages.toml").read_text(encoding="utf-8"))
    rows = tomllib.loads((FOLDER / "models.toml").read_text(encoding="utf-8"))["model"]
    return {row["name"]: _model(row, lists) for row in rows}


def _model(row: Mapping[str, Any], lists: Mapping[str, Any]) -> Model:
    own = lists[row["languages"]] if row["languages"] else None
    config = row.get("config")
    return Model(
        name=row["name"],
        kind=row["kind"],
        parameters=row.get("parameters"),
        languages=None if own is None else frozenset(own["tags"].split()),
        languages_source=own["source"] if own else "",
        licence=row["licence"],
        commercial=row.get("commercial"),
        gated=row.get("gated", False),
        tokenizer=row["tokenizer"],
        context=row.get("context"),
        domain=row.get("domain", ""),
        head=row.get("head", ""),
        source=row["source"],
        checked=row.get("checked", ""),
        unsure=row.get("unsure", ""),
        note=row.get("note", ""),
        arch=None if config is None else architecture.of(config, row["name"]),
        xnli=row.get("xnli"),
        xnli_source=row.get("xnli_source", ""),
    )


def get(name: str) -> Model:
    """The row of a model; a name without its owner will do where it is the only one. Raises InputError for no such row."""
    known = models()
    if name in known:
        return known[name]
    key = name.casefold()
    alike = [full for full in known if key in (full.casefold(), full.casefold().partition("/")[2])]
    if len(alike) == 1:
        return known[alike[0]]
    short = [full.partition("/")[2] for full in known]
    raise InputError(
        f"the catalogue has no model '{name}'{nearest(name, [*known, *short])}; a folder with a config.json will do, too"
    )


def of_folder(path: str | Path) -> Model:
    """A model of one's own by its config.json: nothing is known of it but its shape.

    Raises MissingError when there is none, InputError when it cannot be read.
    """
    arch = architecture.read(path)
    return Model(
        str(path), arch.kind, arch.n_parameters, None, "", "", None, False, "", arch.context, "", "",
        "its config.json", "", "languages, licence" + ("" if arch.exact else ", shape: this type is read by usual keys"),
        "", arch,
    )  # fmt: skip


def written_in(tags: Iterable[str]) -> set[str]:
    """The scripts of tags."""
    return {lang.facts(tag).script for tag in tags}
