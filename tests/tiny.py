"""Tiny models of every architecture, and a tiny corpus whose labels can be learned in seconds."""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

WORDS = {
    "eng_Latn": {"food": "bread soup apple rice", "road": "bus train car bridge", "sky": "rain sun cloud wind"},
    "swh_Latn": {"food": "mkate supu tunda wali", "road": "basi treni gari daraja", "sky": "mvua jua wingu upepo"},
    "tha_Thai": {"food": "ขนมปัง ซุป แอปเปิล ข้าว", "road": "รถบัส รถไฟ รถยนต์ สะพาน", "sky": "ฝน ดวงอาทิตย์ เมฆ ลม"},
}
LABELS = ("food", "road", "sky")


def sentences(n: int, langs: tuple[str, ...] = tuple(WORDS), seed: int = 0) -> list[dict[str, str]]:
    """Rows with a split: `n` of each language and label for train, `n // 2` for dev and for test."""
    rng = random.Random(seed)
    rows = []
    for lang in langs:
        others = " ".join(WORDS[lang].values()).split()
        for label, words in WORDS[lang].items():
            for i in range(2 * n):
                split = "train" if i < n else "dev" if i < n + n // 2 else "test"
                picked = rng.choices(words.split(), k=rng.randint(2, 5)) + rng.choices(others, k=rng.randint(0, 6))
                rng.shuffle(picked)
                name = f"{lang}-{label}-{i}"
                rows.append({"id": name, "text": " ".join(picked), "label": label, "lang": lang, "split": split})
    return rows


@cache
def _place() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="isogloss-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def tokenizer() -> Any:
    """Trained on the tiny corpus; every text can be written with it."""
    from isogloss.nn.scratch import train_tokenizer

    return train_tokenizer([row["text"] for row in sentences(20)], 400, _place() / "tokenizer")


def config(kind: str, **changes: Any) -> Any:
    """A configuration of model type `kind`: width 16, 3 layers, every peculiarity of the architecture switched on."""
    from transformers import AutoConfig

    pieces = tokenizer()
    layers = changes.pop("layers", 3)
    common: dict[str, Any] = {
        "vocab_size": len(pieces), "hidden_size": 16, "num_hidden_layers": layers, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": 66, "pad_token_id": pieces.pad_token_id,
        "bos_token_id": pieces.bos_token_id, "eos_token_id": pieces.eos_token_id,
    }  # fmt: skip
    own: dict[str, dict[str, Any]] = {
        "distilbert": {"dim": 16, "n_layers": layers, "n_heads": 2, "hidden_dim": 24},
        "electra": {"embedding_size": 12},
        "rembert": {"input_embedding_size": 12, "output_embedding_size": 12},
        # as in mDeBERTa-v3: disentangled attention with log buckets of relative positions, shared keys
        "deberta-v2": {
            "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"], "max_relative_positions": -1, "position_biased_input": False,
            "type_vocab_size": 0,
        },
        # as in ModernBERT and mmBERT: local attention with a global layer now and then, rotary positions
        "modernbert": {
            "global_attn_every_n_layers": 3, "local_attention": 8, "classifier_pooling": "mean", "mlp_dropout": 0.1,
            "embedding_dropout": 0.1, "attention_dropout": 0.1, "classifier_dropout": 0.1,
            "cls_token_id": pieces.cls_token_id, "sep_token_id": pieces.sep_token_id,
        },
    }  # fmt: skip
    return AutoConfig.for_model(kind, **{**common, **own.get(kind, {}), **changes})


@cache
def folder(kind: str, **changes: Any) -> Path:
    """The folder of a tiny random model with a masked-language head, as a pretrained model has one."""
    import torch
    from transformers import AutoModelForMaskedLM

    from isogloss.nn.hub import quiet

    torch.manual_seed(1)
    path = Path(tempfile.mkdtemp(dir=_place())) / kind
    with quiet():
        net = AutoModelForMaskedLM.from_config(config(kind, **changes))
        for p in net.parameters():
            if p.ndim > 1:
                p.data.mul_(5)  # random weights are so small that blocks hardly matter; make every one of them count
        net.save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def load(kind: str, at: Path, *, model_folder: Path | None = None, **changes: Any) -> Any:
    """A tiny model of the family `encoder` with a head for LABELS, in evaluation mode."""
    from isogloss.parts.families import encoder

    return encoder.load(start(at, **changes), name=str(model_folder or folder(kind))).eval()


def start(at: Path, **changes: Any) -> Any:
    import polars as pl

    from isogloss.nn.model import Start

    rows = pl.DataFrame(sentences(5))
    given: dict[str, Any] = {"labels": LABELS, "folder": at, "rows": lambda: rows, "locate": Path, "seed": 3}
    return Start(**{**given, **changes})


# -- encoders that give vectors ---------------------------------------------------------------------------------


@cache
def sentence_folder(width: int = 32, max_length: int = 128) -> Path:
    """The layout of paraphrase-multilingual-MiniLM-L12-v2 with random weights: a BERT trunk with a tokenizer of the
    XLM-R kind, mean pooling, 128 tokens."""
    import torch
    from transformers import BertConfig, BertModel

    from isogloss.core import files
    from isogloss.nn.hub import quiet

    pieces = tokenizer()
    torch.manual_seed(1)
    path = Path(tempfile.mkdtemp(dir=_place())) / "sentences"
    net = BertModel(
        BertConfig(
            vocab_size=len(pieces),
            hidden_size=width,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=512,
            pad_token_id=pieces.pad_token_id,
        )
    )
    for p in net.parameters():
        if p.ndim > 1:
            p.data.mul_(5)
    with quiet():
        net.save_pretrained(path)
    pieces.save_pretrained(path)
    kind = "sentence_transformers.models."
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    files.write_json(
        path / "modules.json",
        [{"idx": i, "name": str(i), "path": at, "type": kind + name} for i, (at, name) in enumerate(modules)],
    )
    flags = {"cls_token": False, "mean_tokens": True, "max_tokens": False, "mean_sqrt_len_tokens": False}
    pooling = {"word_embedding_dimension": width, **{f"pooling_mode_{name}": on for name, on in flags.items()}}
    files.write_json(path / "1_Pooling" / "config.json", pooling)
    files.write_json(path / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    return path


# -- whole runs -------------------------------------------------------------------------------------------------


def recipe(at: Path, name: str = "tiny", rows: list[dict[str, str]] | None = None, **sections: Any) -> Any:
    """A recipe that trains a tiny encoder from scratch on the tiny corpus; `sections` go over it."""
    import json

    from isogloss.core import recipe as recipes

    raw = at / "rows.jsonl"
    if rows is not None or not raw.is_file():
        lines = [json.dumps(row, ensure_ascii=False) for row in (rows or sentences(12))]
        raw.write_text("\n".join(lines) + "\n", encoding="utf-8")
    value: dict[str, Any] = {
        "name": name,
        "model": {"use": "encoder", "scratch": {"layers": 2, "width": 16, "heads": 2, "vocab": 512}},
        "data": {"raw": [str(raw)]},
        "train": {
            "steps": 12,
            "batch": 8,
            "lr": 0.01,
            "eval_every": 4,
            "precision": "fp32",
            **sections.pop("train", {}),
        },
        **sections,
    }
    return recipes.build(value, folder=at)


class Heard(list[str]):
    """A Say that remembers, and gives what it was told as texts."""


def saying() -> tuple[Any, Heard]:
    from isogloss.core.say import Say

    heard = Heard()

    class Remember(Say):
        def line(self, text: str) -> None:
            heard.append(text)

        def note(self, text: str) -> None:
            heard.append(text)

    return Remember(), heard


def train(made: Any, at: Path, *, again: bool = False) -> tuple[Any, Heard]:
    """Prepare and train; the run, and what was said."""
    from isogloss.core.engine import Local
    from isogloss.core.run import Run
    from isogloss.core.say import Say
    from isogloss.stages.prepare import prepare
    from isogloss.stages.train import train

    run = Run(at / "runs" / made.name)
    say, heard = saying()
    with run.locked():
        prepare(made, run, Local(), Say())
        train(made, run, say, again=again)
    return run, heard


def events(run: Any, kind: str) -> list[dict[str, Any]]:
    """The lines of steps.jsonl of one kind, whole ones only."""
    import json

    found = []
    for line in run.path("steps.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if value["event"] == kind:
            found.append(value)
    return found


def weights(run: Any) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(run.path("model", "model.safetensors"))
