"""Pack a trained run as the model that the package carries, src/isogloss/assets/mini, with its ledger and its card.

    isogloss run recipes/mini/static.toml && isogloss run recipes/mini/mini.toml
    python tools/make_mini.py pack                                        # weights, tokenizer, ledger
    python benchmarks/mini.py --all --out runs/mini-scores.json
    python tools/make_mini.py card --scores runs/mini-scores.json         # README.md of the model

Weights are stored in half precision and read in single precision (`dtype` of config.json). The ledger counts rows in
and out by step, language and source, names every FLORES and SIB-200 content that was trained on, and says what a second,
independent look for the measured texts among the trained ones found; it refuses to pack when that is anything.
"""

from __future__ import annotations

import argparse
import json
import shutil
import unicodedata
from pathlib import Path

import polars as pl

OUT = Path("src/isogloss/assets/mini")
LIMIT = 20_000_000
READS = 512


def plain(text: str) -> str:
    """Letters, marks and digits only, NFKC, lower case: written apart from the steps that did the work."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(c)[0] in "LMN")


def look(corpora: list[pl.DataFrame], packs: Path) -> dict[str, object]:
    """Look for every measured row among the trained rows of all halves, and among the translations of a content.

    Rows that were held out are looked at too: they chose the checkpoint, and the share of each language.
    """
    every = pl.concat(corpora).unique(["id", "split"])
    train, held = every.filter(pl.col("split") == "train"), every.filter(pl.col("split") == "dev")
    measured = pl.concat([
        pl.read_parquet(packs / f"{name}.parquet").filter(pl.col("split") != "train").select("lang", "text", "group")
        for name in ("sib200", "nusax_senti")
    ])  # fmt: skip
    keys = {plain(text) for text in measured["text"]}
    hits = [plain(text) in keys for text in train["text"]]
    dev = held.filter(pl.Series([plain(text) in keys for text in held["text"]], dtype=pl.Boolean))
    # A content is measured when a FLORES row of it, in any language, is a measured row.
    flores = pl.read_parquet(packs / "flores200.parquet")
    touched = {g for g, text in flores.select("group", "text").iter_rows() if plain(text) in keys}
    trained = set(train.filter(pl.col("source") == "flores")["id"].str.extract(r"(dev-\d+)$").drop_nulls())
    return {
        "measured_rows": measured.height, "trained_rows": train.height, "rows_found": sum(hits),
        "held_out_contents": held["group"].n_unique(), "held_out_contents_measured": dev["group"].n_unique(),
        "flores_contents_with_a_measured_row": len(touched), "of_them_trained_on": sorted(touched & trained),
    }  # fmt: skip


def pack(run: Path, first: Path, packs: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModel

    corpus = pl.read_parquet(run / "corpus" / "*.parquet")
    train = corpus.filter(pl.col("split") == "train")
    found = look([corpus, pl.read_parquet(first / "corpus" / "*.parquet")], packs)
    if found["rows_found"] or found["of_them_trained_on"]:
        raise SystemExit(f"measured text was trained on: {found}")
    ledger = pl.read_parquet(run / "ledger.parquet")
    totals = ledger.group_by("step", "source", maintain_order=True).agg(pl.col("n_in", "n_dropped", "n_out").sum())

    model = run / "model"
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.rglob("*"):
        if old.is_file() and old.name != "README.md":
            old.unlink()
    net = AutoModel.from_pretrained(model, dtype=torch.float32)
    halves = {name: value.to(torch.float16).contiguous() for name, value in net.state_dict().items()}
    save_file(halves, OUT / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((model / "config.json").read_text())
    config["dtype"] = "float32"
    write(OUT / "config.json", config, 2)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    (OUT / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), "utf-8")
    settings = json.loads((model / "tokenizer_config.json").read_text())
    leftovers = ("max_length", "truncation_strategy", "stride", "is_local", "local_files_only")
    settings = {name: value for name, value in settings.items() if name not in leftovers}
    write(OUT / "tokenizer_config.json", settings | {"model_max_length": READS}, 2)
    for name in ("modules.json", "1_Pooling/config.json"):
        (OUT / name).parent.mkdir(exist_ok=True)
        shutil.copy(model / name, OUT / name)
    write(OUT / "sentence_bert_config.json", {"max_seq_length": READS, "do_lower_case": False}, 1)
    write(OUT / "LEDGER.json", {
        "look": found,
        "totals": totals.to_dicts(),
        "trained_rows_by_lang": dict(sorted(train.group_by("lang").len().iter_rows())),
        "trained_rows_by_source": dict(sorted(train.group_by("source").len().iter_rows())),
        "by_step_lang_source": {"columns": ledger.columns, "rows": [list(row) for row in ledger.iter_rows()]},
        "contents_trained_on": {
            source: sorted(set(own["id"].str.extract(pattern).drop_nulls()))
            for (source, pattern) in (("flores", r"(dev-\d+)$"), ("sib200", r"-(\d+)$"))
            for own in [train.filter(pl.col("source") == source)]
        },
    }, None)  # fmt: skip
    size = sum(path.stat().st_size for path in OUT.rglob("*") if path.suffix in (".safetensors", ".json"))
    print(f"{size / 1e6:.2f} MB; {found}")
    if size > LIMIT:
        raise SystemExit(f"that is more than {LIMIT / 1e6:.0f} MB")


def write(path: Path, value: object, indent: int | None) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pack", "card"])
    parser.add_argument("--run", type=Path, default=Path("runs/mini"))
    parser.add_argument("--first", type=Path, default=Path("runs/mini-static"))
    parser.add_argument("--packs", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scores", type=Path, default=Path("runs/mini-scores.json"))
    given = parser.parse_args()
    if given.what == "pack":
        pack(given.run, given.first, given.packs)
    else:
        from mini_card import card

        card(OUT, json.loads(given.scores.read_text()))
