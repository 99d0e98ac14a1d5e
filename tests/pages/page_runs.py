"""Small runs whose pages are tested."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isogloss.core.engine import Local
from isogloss.core.recipe import Recipe
from isogloss.core.run import Run
from isogloss.stages import chain

EVIL = "<script>window.hacked = 1</script>"
LABELS = (EVIL, 'yes & "no"', "ثالث")
TEXTS = {
    "arb_Arab": "موعد يوم الاثنين",
    "eng_Latn": f"an appointment {EVIL} on Monday",
    "tha_Thai": "นัดวันจันทร์",
    "heb_Hebr": "תור ליום שני",
}


@dataclass(frozen=True)
class Made:
    """A finished run and its recipe."""

    recipe: Recipe
    run: Run

    @property
    def pair(self) -> tuple[Recipe, Run]:
        return self.recipe, self.run

    @property
    def html(self) -> str:
        return (self.run.folder / "report.html").read_text(encoding="utf-8")


def rows(langs: Sequence[str], labels: Sequence[str], sizes: dict[str, int], seed: int = 1) -> Iterator[dict[str, str]]:
    """Parallel rows whose label shows in a word, mostly."""
    rng = random.Random(seed)
    for lang in langs:
        for split, n in sizes.items():
            for i in range(n):
                label = labels[i % len(labels)]
                word = "abcdefg"[labels.index(label) if rng.random() < 0.8 else rng.randrange(len(labels))] * 4
                text = f"{TEXTS.get(lang, lang)} {word} {split} {i}"
                yield {"id": f"{lang}-{split}-{i}", "lang": lang, "split": split, "group": f"{split}-{i}",
                       "label": label, "text": text}  # fmt: skip


def make(folder: Path, name: str, data: Path, langs: Sequence[str], **model: object) -> Made:
    """Run the whole chain."""
    given = {
        "name": name,
        "langs": list(langs),
        "model": {"use": "ngram", "n_max": 2, **model},
        "data": {"raw": [{"path": str(data), "license": f"CC0 {EVIL}"}], "steps": ["standardise"]},
        "evaluate": {"resamples": 200},
        "gate": [{"at": "promote", "every_lang": {"macro_f1": ">= 0.6", "n": ">= 10"}, "gap": {"macro_f1": "<= 0.5"}}],
    }
    recipe, run = chain.advance(given, "run", runs=folder, engine=Local(1))
    return Made(recipe, run)


def make_tied(folder: Path, data: Path, langs: Sequence[str]) -> Made:
    """Run the whole chain without labels: a tiny encoder that finds translations."""
    given = {
        "name": "tied",
        "task": {"use": "embed", "max_length": 32},
        "langs": list(langs),
        "model": {"use": "encoder", "scratch": {"layers": 1, "width": 16, "heads": 2, "vocab": 600}},
        "data": {"raw": [str(data)]},
        "train": {"steps": 6, "batch": 16, "lr": 0.01, "eval_every": 3},
        "evaluate": {"resamples": 200},
        "gate": [{"at": "promote", "every_lang": {"recall_at_1": ">= 0.9"}, "beats": {"floor_pooled": "mrr"}}],
    }
    recipe, run = chain.advance(given, "run", runs=folder, engine=Local(1))
    return Made(recipe, run)


def write(path: Path, found: Iterator[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    return path
