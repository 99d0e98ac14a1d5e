"""A tokenizer trained on the corpus, and the configuration of a small encoder that starts from random weights."""

from __future__ import annotations

import io
import itertools
import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core.errors import DataError
from isogloss.nn.disk import whole_folder

if TYPE_CHECKING:
    import polars as pl

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
BYTES = tuple(f"<0x{i:02X}>" for i in range(256))
# Special tokens, bytes, and one space mark: below this there is no vocabulary.
LEAST = len(SPECIAL) + len(BYTES) + 1


# Special tokens by what they are for.
ROLES = {
    "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>",
    "pad_token": "<pad>", "mask_token": "<mask>",
}  # fmt: skip


def train_tokenizer(texts: Sequence[str], n_pieces: int, folder: Path) -> Any:
    """Train byte-pair pieces on `texts` and write a tokenizer that transformers reads; return it."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained(texts, n_pieces), clean_up_tokenization_spaces=False, **ROLES
    )
    return _kept(tokenizer, folder)


def trained(texts: Sequence[str], n_pieces: int) -> Any:
    """Byte-pair pieces of `texts`, as the tokenizers library has them.

    What no piece covers falls back to the bytes of UTF-8, so that no text of any script is unknown. Unigram pieces were
    tried on SIB-200 (61 languages, 16,000 pieces): the same length, 129 seconds where this takes 6.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=n_pieces, special_tokens=[*SPECIAL, *BYTES], show_progress=False)
    )
    # The trainer can only reserve the bytes as special tokens; they are ordinary pieces.
    value = json.loads(made.to_str())
    value["added_tokens"] = [token for token in value["added_tokens"] if token["content"] in SPECIAL]
    return _whole(Tokenizer.from_str(json.dumps(value)))


# Characters of a language that the pieces are learned from: the same of each, small ones repeated up to so many times.
CHARACTERS, REPEATS = 250_000, 8


def train_unigram(rows: pl.DataFrame, n_pieces: int, folder: Path) -> Any:
    """Train unigram pieces on the rows (`text, lang`), as much of each language; write the tokenizer and return it.

    Texts are read in NFKC, in lower case, with decimal digits of any script as ASCII; bytes stand in for what no piece
    covers. Kudo 2018; the trainer is SentencePiece's. Scores are rounded to two decimals, which halves the file.
    Little text gives fewer pieces. Raises DataError when there is too little for any, or `n_pieces` is below the bytes.
    """
    import sentencepiece
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    digits = [normalizers.Replace(chr(c), str(unicodedata.decimal(chr(c)))) for c in _digits(rows["text"].to_list())]
    normal = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), *digits, normalizers.Replace(Regex(r"\s+"), " ")]
    )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(normal.normalize_str(text) for text in evenly(rows)), model_writer=model,
            model_type="unigram", vocab_size=n_pieces, byte_fallback=True, character_coverage=0.9999,
            normalization_rule_name="identity", max_sentence_length=100_000, num_threads=2, minloglevel=2,
            bos_id=0, pad_id=1, eos_id=2, unk_id=3, user_defined_symbols=["<mask>"], split_digits=True,
            max_sentencepiece_length=16, hard_vocab_limit=False,
        )  # fmt: skip
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1][-160:]
        raise DataError(f"no vocabulary of {n_pieces:,} pieces can be learned from the train rows ({said})") from None
    read = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [(read.id_to_piece(i), round(read.get_score(i), 2)) for i in range(read.get_piece_size())]
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=True))
    made.normalizer, made.pre_tokenizer = normal, pre_tokenizers.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_whole(made), clean_up_tokenization_spaces=False, **ROLES)
    return _kept(tokenizer, folder)


def _digits(texts: Sequence[str]) -> list[int]:
    """Decimal digits of other scripts in `texts`, all ten of each script that has any; NFKC knows the other ones."""
    found = {c for text in texts for c in set(text) if ord(c) > 127 and unicodedata.category(c) == "Nd"}
    zeros = {ord(c) - unicodedata.decimal(c) for c in found if unicodedata.normalize("NFKC", c) == c}
    return [zero + i for zero in sorted(zeros) for i in range(10)]


def evenly(rows: pl.DataFrame) -> Iterator[str]:
    """Texts of each language until it has given `CHARACTERS`, again from its beginning up to `REPEATS` times."""
    for (_,), own in rows.group_by("lang", maintain_order=True):
        texts, n = own["text"].to_list(), 0
        for text in itertools.chain.from_iterable(itertools.repeat(texts, REPEATS)):
            yield text
            n += len(text)
            if n >= CHARACTERS:
                break


def _whole(whole: Any) -> Any:
    """Give a trained tokenizer its way back to text, and its special tokens around a text."""
    from tokenizers import decoders, processors

    whole.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    begin, end = whole.token_to_id("<s>"), whole.token_to_id("</s>")
    whole.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", begin), ("</s>", end)]
    )
    return whole


def _kept(tokenizer: Any, folder: Path) -> Any:
    """Write a tokenizer, whole or not at all, and return it."""
    with whole_folder(folder) as temporary:
        tokenizer.save_pretrained(temporary)
    return tokenizer


def read_tokenizer(folder: Path) -> Any:
    """A tokenizer that was made here."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def config(tokenizer: Any, *, layers: int, width: int, heads: int, max_length: int, inner: int | None = None) -> Any:
    """A ModernBERT of that size: pre-norm, rotary positions, every layer global, the mean of the states classified."""
    from transformers import ModernBertConfig

    return ModernBertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=inner or 2 * width, max_position_embeddings=max_length, layer_types=["full_attention"] * layers,
        classifier_pooling="mean", embedding_dropout=0.1, mlp_dropout=0.1, classifier_dropout=0.1,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        cls_token_id=tokenizer.cls_token_id, sep_token_id=tokenizer.sep_token_id,
    )  # fmt: skip
