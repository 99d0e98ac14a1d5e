"""A small corpus of our own, recipes on disk, and commands in a process of their own: what many tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import tomli_w

LANGS = ("eng_Latn", "spa_Latn", "swh_Latn", "hin_Deva")
LABELS = ("bill", "drug", "visit")
# Openers, bodies by label, closings: each language says the same things in its own words.
PIECES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]], tuple[str, ...]]] = {
    "eng_Latn": (
        ("Good morning, this is about my mother.", "Hello, I am writing again today.", "Please help me when you can."),
        {
            "bill": ("Why was I charged twice on the invoice?", "The price you asked me to pay is wrong."),
            "drug": ("The tablets ran out last night.", "My medicine makes me dizzy after dinner."),
            "visit": ("I need to see the doctor on Friday.", "Can the appointment be moved to next week?"),
        },
        ("Thank you very much.", "I am waiting for your answer.", "Call me after six, please."),
    ),
    "spa_Latn": (
        (
            "Buenos días, escribo por mi madre.",
            "Hola, vuelvo a escribir hoy mismo.",
            "Ayúdeme cuando pueda, por favor.",
        ),
        {
            "bill": ("¿Por qué me cobraron dos veces la factura?", "El precio que me piden pagar está mal."),
            "drug": ("Las pastillas se acabaron anoche.", "La medicina me marea después de cenar."),
            "visit": ("Necesito ver a la doctora el viernes.", "¿Puede cambiarse la cita a otra semana?"),
        },
        ("Muchas gracias por todo.", "Quedo a la espera de su respuesta.", "Llámeme después de las seis."),
    ),
    "swh_Latn": (
        ("Habari za asubuhi, nauliza kuhusu mama.", "Hujambo, naandika tena leo.", "Naomba msaada ukipata nafasi."),
        {
            "bill": ("Kwa nini nimetozwa mara mbili kwenye ankara?", "Bei mliyoniomba nilipe si sahihi kabisa."),
            "drug": ("Vidonge vyangu viliisha jana usiku.", "Dawa inanipa kizunguzungu baada ya chakula."),
            "visit": ("Nahitaji kumwona daktari siku ya Ijumaa.", "Je, miadi inaweza kusogezwa wiki ijayo?"),
        },
        ("Asante sana kwa msaada.", "Nasubiri jibu lenu haraka.", "Nipigieni simu baada ya saa kumi na mbili."),
    ),
    "hin_Deva": (
        ("नमस्ते, मैं अपनी माँ के बारे में लिख रही हूँ।", "मैं आज फिर से लिख रहा हूँ।", "कृपया समय मिलने पर मदद करें।"),
        {
            "bill": ("बिल में मुझसे दो बार पैसे क्यों लिए गए?", "जो कीमत आपने माँगी है वह गलत है।"),
            "drug": ("मेरी गोलियाँ कल रात खत्म हो गईं।", "दवा लेने के बाद मुझे चक्कर आता है।"),
            "visit": ("मुझे शुक्रवार को डॉक्टर से मिलना है।", "क्या मुलाकात अगले हफ्ते हो सकती है?"),
        },
        ("बहुत-बहुत धन्यवाद।", "आपके उत्तर की प्रतीक्षा है।", "छह बजे के बाद फ़ोन कीजिए।"),
    ),
}


def corpus_rows(langs: tuple[str, ...] = LANGS, *, parallel: bool = True) -> list[dict[str, str]]:
    """54 rows a language, three labels; with groups that tie translations, or without."""
    rows = []
    for lang in langs:
        openers, bodies, closings = PIECES[lang]
        for label, (i, opener), (k, closing) in product(LABELS, enumerate(openers), enumerate(closings)):
            for j, body in enumerate(bodies[label]):
                name = f"{label}-{i}{j}{k}"
                row = {"id": f"{lang}-{name}", "lang": lang, "label": label, "text": f"{opener} {body} {closing}"}
                rows.append({**row, "group": name} if parallel else row)
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Place:
    """A folder with raw data and a recipe; `value` is the recipe as a mapping."""

    folder: Path
    value: Mapping[str, Any]

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.toml"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def run(self) -> Path:
        return self.runs / str(self.value["name"])

    def with_(self, **sections: Any) -> Place:
        """The same place with other sections in the recipe; tables are merged."""
        value = dict(self.value)
        for name, section in sections.items():
            old = value.get(name)
            value[name] = {**old, **section} if isinstance(section, dict) and isinstance(old, dict) else section
        self.recipe.write_text(tomli_w.dumps(value), encoding="utf-8")
        return Place(self.folder, value)


def make_place(folder: Path) -> Place:
    write_jsonl(folder / "raw.jsonl", corpus_rows())
    value = {
        "name": "small",
        "langs": list(LANGS),
        "model": {"use": "ngram", "n_max": 3},
        "data": {"raw": ["raw.jsonl"], "split": {"dev": 0.2, "test": 0.3}},
        "evaluate": {"resamples": 200, "baselines": ["majority", "floor_pooled"]},
        "gate": [{"at": "promote", "every_lang": {"accuracy": ">= 0.1", "n": ">= 5"}}],
    }
    return Place(folder, value).with_()


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "isogloss", *map(str, arguments)]


def shell(*arguments: object, cwd: Path, timeout: float = 120, **env: str) -> Said:
    """Run a command in a process of its own."""
    done = subprocess.run(
        command(*arguments), cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=timeout
    )
    return Said(done.returncode, done.stdout, done.stderr)
