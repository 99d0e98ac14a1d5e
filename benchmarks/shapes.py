"""Models of a real shape with random weights, and the corpus that training is measured on. No hub is needed.

The vocabulary of XLM-R is read from a data pack beside the project (`tokenizers/xlmr_unigram_vocab.parquet`).
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

LANGS = ("amh_Ethi", "arb_Arab", "deu_Latn", "eng_Latn", "fra_Latn", "hin_Deva", "swh_Latn", "tam_Taml", "tha_Thai", "tur_Latn", "zho_Hans")  # fmt: skip


def xlmr(folder: Path, data: Path, *, layers: int = 12, width: int = 768) -> Path:
    """A folder with the shape of XLM-R base (278 M parameters), or a smaller one, and its real vocabulary."""
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    tokenizer(data).save_pretrained(folder)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=250_002, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    XLMRobertaForMaskedLM(config).save_pretrained(folder)
    return folder


def tokenizer(data: Path):
    """XLM-R's tokenizer, rebuilt from its pieces and scores."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    table = pl.read_parquet(data / "tokenizers" / "xlmr_unigram_vocab.parquet").sort("word_id")
    pieces = [("<s>", 0.0), *zip(table["piece"].to_list(), table["score"].to_list(), strict=True)]
    made = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    made.normalizer = normalizers.Sequence([
        normalizers.NFKC(), normalizers.Replace(Regex("[\u200b\u200c\u200d\u200e\u200f\ufeff]"), " "),
        normalizers.Replace(Regex("[\x00-\x08\x0b\x0e-\x1f\x7f]"), ""), normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ])  # fmt: skip
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>", model_max_length=512,
    )  # fmt: skip


def topics(folder: Path, data: Path, *, train: int | None = None, dev: int = 4, langs: tuple[str, ...] = LANGS) -> Path:
    """SIB-200 in some languages as JSONL, with at most so many train and dev rows a language."""
    rows = pl.read_parquet(data / "sib200.parquet").filter(pl.col("lang").is_in(langs))
    few = {"train": train, "dev": dev, "test": dev}
    path = folder / f"topics-{train or 'all'}-{len(langs)}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as handle:
        for (_, split), own in rows.sort("id").group_by("lang", "split", maintain_order=True):
            for row in own.head(few[split] or own.height).select("id", "text", "label", "lang", "split").to_dicts():
                handle.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path
