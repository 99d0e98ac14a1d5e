"""models: the catalogue in a table, by languages, task and licence, with what training takes by method; one model in full."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.core import catalogue, estimate, machines
from isogloss.core.catalogue import Model
from isogloss.core.errors import InputError, nearest
from isogloss.core.estimate import Work
from isogloss.core.lang import facts
from isogloss.stages.planning import fit
from isogloss.stages.planning.need import tags
from isogloss.stages.planning.tasks import task

# The work that memory is said for: rows and tokens of a step of an encoder, and of a model that writes.
ENCODES, WRITES = Work(32, 128, 1, 2), Work(1, 512, 1, 0)


@dataclass(frozen=True)
class Row:
    """A model with what it lacks of the languages asked, and bytes that training takes by method on one device."""

    model: Model
    lacks: tuple[str, ...]
    n_bytes: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            **self.model.document(),
            "lacks": list(self.lacks),
            "memory_bytes": {k: round(v) for k, v in self.n_bytes.items()},
        }


def memory(model: Model, setup: machines.Setup) -> dict[str, float]:
    """Bytes on one device by method, for usual work: 32 rows of 128 tokens of an encoder, one of 512 of a model that writes."""
    if model.arch is None:
        return {}
    ours = model.kind == "encoder"
    work = ENCODES if ours else WRITES
    return {
        name: estimate.memory(model.arch, fit.method(name, model.arch, setup, None, ours=ours), work, setup.room).total
        for name in estimate.NAMES
    }


def rows(
    langs: Sequence[str] = (), *, task_name: str | None = None, licence: str = "any", kind: str | None = None,
    machine: str = "1x24GB",
) -> list[Row]:  # fmt: skip
    """Models that can do a task, those that have read most of the languages first, then the smallest.

    Raises InputError, or DataError for what is no language.
    """
    setup = machines.parse(machine)
    wanted = task(task_name) if task_name else None
    kinds = sorted({model.kind for model in catalogue.models().values()})
    if kind is not None and kind not in kinds:
        raise InputError(f"--kind is one of {', '.join(kinds)}, got '{kind}'{nearest(kind, kinds)}")
    if licence not in ("commercial", "any"):
        raise InputError(f"--licence is 'commercial' or 'any', got '{licence}'")
    asked = list(tags(langs)[0])
    found = []
    for model in catalogue.models().values():
        if wanted is not None and (
            model.kind not in (*wanted.models, "hosted") or (wanted.head and model.head != wanted.head)
        ):
            continue
        if (kind is not None and model.kind != kind) or (licence == "commercial" and not model.commercial):
            continue
        found.append(Row(model, tuple(model.lacks(asked)), memory(model, setup)))
    if asked:
        found.sort(key=lambda row: (row.model.languages is None, len(row.lacks), row.model.parameters or 1e15))
    return found


def one(name: str, machine: str = "1x24GB") -> Row:
    """A model of the catalogue, or of a folder with a config.json. Raises InputError for neither, MissingError without config."""
    setup = machines.parse(machine)
    model = catalogue.of_folder(name) if Path(name).is_dir() else catalogue.get(name)
    return Row(model, (), memory(model, setup))


def document(found: Sequence[Row], langs: Sequence[str], machine: str) -> dict[str, Any]:
    """As plain JSON."""
    return {
        "langs": list(tags(langs)[0]) if langs else [], "machine": machine,
        "memory_is_for": {"encoder": "32 rows of 128 tokens", "others": "1 row of 512 tokens"},
        "models": [row.document() for row in found],
    }  # fmt: skip


def table(found: Sequence[Row], n_langs: int) -> list[list[str]]:
    """The table, a model a row."""
    shown = ("full", "freeze", "lora", "qlora", "lomo")
    out = [
        [
            "model",
            "kind",
            "million",
            "languages" if not n_langs else f"of {n_langs}",
            *(f"{name} GB" for name in shown),
            "XNLI",
            "licence",
        ]
    ]
    for row in found:
        model = row.model
        known = (
            "?" if model.languages is None else str(len(model.languages) if not n_langs else n_langs - len(row.lacks))
        )
        size = model.arch.n_parameters if model.arch else model.parameters
        mark = "" if model.commercial else " (no)" if model.commercial is False else " (?)"
        out.append([
            model.name, model.kind + (f", {model.head}" if model.head else "") + (f", {model.domain}" if model.domain else ""),
            "–" if size is None else f"{size / 1e6:,.0f}", known,
            *(f"{row.n_bytes[name] / 1e9:.1f}" if name in row.n_bytes else "–" for name in shown),
            "" if model.xnli is None else f"{model.xnli:+.1f}", (model.licence or "not known") + mark,
        ])  # fmt: skip
    return out


def legend(width: int, machine: str) -> Iterator[str]:
    """What the columns mean."""
    words = (
        f"GB: what training takes at its peak on one device of {machine}, estimated from the config: an encoder with 32 rows of "
        "128 tokens a step, others with one row of 512. XNLI: points over XLM-R base, trained on English. "
        "Licence (no): not for commercial use; (?): nobody could tell. ?: no list of languages is published."
    )
    yield from textwrap.wrap(words, width)


def details(row: Row, width: int) -> Iterator[str]:
    """Everything that is known of a model."""
    model = row.model
    yield f"{model.name}: {model.kind}" + (f", {model.domain}" if model.domain else "")
    arch = model.arch
    said = []
    if arch is not None:
        said.append(("shape", f"{arch.n_parameters:,} parameters by its config; {arch.layers} layers, width {arch.width}, {arch.heads} heads"
                     f" ({arch.kv_heads} for keys), feed-forward {arch.ffn}, {arch.vocab:,} pieces of {arch.embed_width}"))  # fmt: skip
        if not arch.exact:
            said.append(("", "this type is read by usual keys, so its size may be a little off"))
    if model.parameters:
        said.append(("published", f"{model.parameters:,} parameters"))
    said += [
        ("reads", f"{model.context:,} tokens" if model.context else "not known"), ("tokenizer", model.tokenizer or "not known"),
        ("licence", (model.licence or "not known") + (", to be asked for" if model.gated else "")),
    ]  # fmt: skip
    if model.xnli is not None:
        said.append(("XNLI", f"{model.xnli:+.1f} points over XLM-R base ({model.xnli_source})"))
    if row.n_bytes:
        said.append(("memory", ", ".join(f"{name} {n / 1e9:.1f} GB" for name, n in row.n_bytes.items())))
    if model.languages is None:
        said.append(("languages", "no list is published"))
    else:
        said.append(("languages", f"{len(model.languages)}: {' '.join(sorted(model.languages))}"))
        said.append(("", model.languages_source))
    said += [("source", model.source), ("checked", model.checked), ("not sure", model.unsure), ("note", model.note)]
    for name, words in said:
        if words:
            yield from textwrap.wrap(
                words, width, initial_indent=f"  {name:<11}", subsequent_indent=" " * 13, break_on_hyphens=False
            )


def lacking(row: Row) -> str:
    """The languages that a model has not read, by name."""
    return ", ".join(facts(tag).name for tag in row.lacks)
