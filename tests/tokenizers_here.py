"""Small tokenizers of every kind, in files of every format; and XLM-R's, rebuilt from the shared pieces."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENGLISH = [
    "the nurse gave the tablets to my mother on Friday", "please call the clinic before the appointment",
    "my mother was charged twice for the tablets", "the doctor asked the nurse about the appointment",
    "I called the clinic on Friday and asked about the price", "the price of the tablets was wrong on Friday",
]  # fmt: skip
HINDI = [
    "मुझे शुक्रवार को डॉक्टर से मिलना है", "दवा लेने के बाद मुझे चक्कर आता है", "कृपया समय मिलने पर मदद करें",
    "मेरी गोलियाँ कल रात खत्म हो गईं", "बिल में मुझसे दो बार पैसे लिए गए", "जो कीमत आपने माँगी है वह गलत है",
]  # fmt: skip
AMHARIC = [
    "እባክዎ ወደ ክሊኒኩ ይደውሉልኝ", "መድኃኒቱ ትናንት ማታ አለቀ", "ዓርብ ከሐኪሙ ጋር ቀጠሮ አለኝ", "ዋጋው ሁለት ጊዜ ተከፈለ",
    "እናቴ መድኃኒቱን ትፈልጋለች", "ቀጠሮውን ወደ ሌላ ሳምንት ማዛወር ይቻላል",
]  # fmt: skip


def bpe(
    texts: Sequence[str] = ENGLISH, n: int = 400, *, byte_level: bool = False, unknown: str | None = "<unk>"
) -> Any:
    """BPE, of characters or of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if byte_level:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        made.train_from_iterator(
            texts, trainers.BpeTrainer(vocab_size=max(n, 300), initial_alphabet=alphabet, show_progress=False)
        )
        return made
    made = Tokenizer(models.BPE(unk_token=unknown))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = [unknown] if unknown else []
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=n, special_tokens=special, show_progress=False))
    return made


def unigram(texts: Sequence[str] = ENGLISH, n: int = 120) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=n, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    )
    return made


def wordpiece_lines(texts: Sequence[str] = ENGLISH, n: int = 200) -> list[str]:
    """The pieces of a WordPiece vocabulary, in order."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=n, special_tokens=special, show_progress=False)
    )
    vocab = made.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)


def sentencepiece_bytes(
    texts: Sequence[str] = ENGLISH, n: int = 80, kind: str = "unigram", *, fallback: bool = False
) -> bytes:
    import io

    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(texts) * 20), model_writer=out, vocab_size=n + 256 * fallback, model_type=kind,
        byte_fallback=fallback, hard_vocab_limit=False, minloglevel=2, num_threads=1,
    )  # fmt: skip
    return out.getvalue()


def ranks_lines(texts: Sequence[str] = ENGLISH, n: int = 340) -> bytes:
    """A tiktoken file: the ranks of a byte-level BPE."""
    from isogloss.core.tokens import byte_alphabet

    table = byte_alphabet()
    value = json.loads(bpe(texts, n, byte_level=True).to_str())["model"]
    order = sorted(value["vocab"], key=value["vocab"].__getitem__)
    lines = [base64.b64encode(bytes(table[c] for c in piece)) + b" %d" % i for i, piece in enumerate(order)]
    return b"\n".join(lines) + b"\n"


def xlmr(shared: Path) -> Any:
    """XLM-R as the tokenizers library reads it, with its numbers, from the shared pieces and scores."""
    import polars as pl
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    table = pl.read_parquet(shared / "tokenizers" / "xlmr_unigram_vocab.parquet").sort("word_id")
    pieces = [("<s>", 0.0), *zip(table["piece"], table["score"], strict=True)]
    made = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex("[\u200b\u200c\u200d\u200e\u200f\ufeff]"), " "),
            normalizers.Replace(Regex("[\x00-\x08\x0b\x0e-\x1f\x7f]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    made.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return made
