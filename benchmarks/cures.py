"""What cures of tokenizers are worth: real tokenizers, tiny random models around them, sentences that were held out.

    python benchmarks/cures.py --data ../shared/data

For each tokenizer a few languages that it serves badly: premium over English, tokens a character, unknown tokens and lost
characters before and after, on the fifth of the FLORES sentences that nothing was learned from; of texts in languages
that it serves well, how many are cut in another way; and, through the tiny model, the largest difference of logits over
texts that are cut as before. Then the same language with more and fewer new pieces. Last line: JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isogloss.nn import fast
from isogloss.nn.hub import quiet
from isogloss.stages.auditing import sample
from isogloss.stages.cure import Cure, cure

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import tokenizers_here

# tokenizer -> (its kind of model, languages, how)
JOBS: list[tuple[str, tuple[str, ...], str, dict[str, Any]]] = [
    ("xlmr", ("quy_Latn", "ewe_Latn", "fon_Latn"), "extend", {}),
    ("mbert", ("tha_Thai", "ewe_Latn"), "extend", {}),
    ("mistral", ("hin_Deva", "tel_Telu"), "extend", {}),
    ("gpt2", ("hin_Deva", "tam_Taml"), "extend", {}),
    ("gpt2", ("ell_Grek", "bel_Cyrl"), "extend", {}),
    ("xlmr", ("fon_Latn",), "bytes", {}),
    ("mbert", ("ewe_Latn", "tha_Thai", "eng_Latn"), "replace", {"n_pieces": 12_000}),
    ("mistral", ("tel_Telu",), "extend", {"n_pieces": 250}),
    ("mistral", ("tel_Telu",), "extend", {"n_pieces": 500}),
    ("mistral", ("tel_Telu",), "extend", {"n_pieces": 1000}),
    ("mistral", ("tel_Telu",), "extend", {"n_pieces": 2000}),
]


def tiny(name: str, data: Path, folder: Path) -> Path:
    """A random model of width 16 with a real tokenizer."""
    import torch
    from tokenizers import Tokenizer
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        GPT2Config,
        GPT2LMHeadModel,
        MistralConfig,
        MistralForCausalLM,
        PreTrainedTokenizerFast,
        XLMRobertaConfig,
        XLMRobertaForMaskedLM,
    )  # fmt: skip

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    place = folder / name
    with quiet():
        if name == "xlmr":
            roles = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>",
                     "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip
            own: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizers_here.xlmr(data), **roles)
            net: Any = XLMRobertaForMaskedLM(
                XLMRobertaConfig(
                    vocab_size=len(own), max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, **size
                )
            )
        else:
            file = {
                "mbert": "mbert_cased_vocab.txt.gz",
                "mistral": "mistral_v1_32k.spm.model",
                "gpt2": "gpt2_r50k_base.tiktoken.gz",
            }
            found = fast.open_fast(str(data / "tokenizers" / file[name]))
            inner = Tokenizer.from_str(json.dumps(found.value))
            own = PreTrainedTokenizerFast(tokenizer_object=inner, **found.specials)
            if name == "mbert":
                net = BertForMaskedLM(BertConfig(vocab_size=len(own), **size))
            elif name == "mistral":
                net = MistralForCausalLM(
                    MistralConfig(vocab_size=len(own), num_key_value_heads=1, tie_word_embeddings=False, **size)
                )
            else:
                net = GPT2LMHeadModel(GPT2Config(vocab_size=len(own), n_embd=16, n_layer=2, n_head=2))
        net.save_pretrained(place)
        own.save_pretrained(place)
    return place


def logits_apart(before: Path, after: Path, texts: list[str]) -> tuple[float, int]:
    """The largest difference of logits over texts that both cut alike, over the old pieces; and how many texts those are."""
    import torch
    import transformers

    with quiet(), torch.inference_mode():
        sides = []
        for folder in (before, after):
            kind = json.loads((folder / "config.json").read_text())["architectures"][0]
            net = getattr(transformers, kind).from_pretrained(folder).eval()
            sides.append((net, transformers.AutoTokenizer.from_pretrained(folder)))
        (net, own), (other, new) = sides
        worst, n = 0.0, 0
        for text in texts:
            a, b = own(text)["input_ids"], new(text)["input_ids"]
            if a != b or not a:
                continue
            one, two = (model(input_ids=torch.tensor([a])).logits[0] for model in (net, other))
            worst = max(worst, float((one - two[:, : one.shape[1]]).abs().max()))
            n += 1
    return worst, n


def value(found: Cure, side: str, tag: str, name: str) -> float | None:
    one = getattr(found, side).of(tag)
    return None if one is None or one.values[name].value is None else round(one.values[name].value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of data packs")
    parser.add_argument("--only", help="jobs of this tokenizer alone: xlmr, mbert, mistral, gpt2")
    given = parser.parse_args()
    flores = sample.read_texts(str(given.data / "flores200.parquet"), limit=20_000)
    unseen = flores.rows.filter(pl.col("lang").is_in(["eng_Latn", "deu_Latn", "rus_Cyrl"]), pl.col("key") % 5 == 0)
    out: list[Mapping[str, Any]] = []
    folder = Path(tempfile.mkdtemp(prefix="isogloss-cures-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for i, (name, langs, how, options) in enumerate(JOBS):
            if given.only and name != given.only:
                continue
            before = folder / name
            if not before.exists():
                tiny(name, given.data, folder)
            found = cure(str(before), flores, folder / f"{i}", how=how, langs=langs, **options)
            kept = [one for one in found.changed if one.kept]
            n = sum(one.n for one in kept)
            share = sum(one.share * one.n for one in kept) / n if n else float("nan")
            apart, n_same = logits_apart(before, folder / f"{i}", unseen["text"].to_list()[:60])
            row = {
                "tokenizer": name, "how": how, "n_new": found.n_new, "n_pieces": found.n_pieces,
                "kept": {"langs": len(kept), "texts": n, "changed": round(share, 5), "longer": sum(one.longer for one in kept)},
                "cut_otherwise": found.recut, "logits": {"max_difference": apart, "texts": n_same},
                "langs": {tag: {measure: [value(found, side, tag, measure) for side in ("before", "after")]
                                for measure in ("premium", "tokens_per_char", "unknown", "lost")} for tag in langs},
            }  # fmt: skip
            out.append(row)
            print(
                f"\n{name}, {how}{' ' + str(options) if options else ''}: {found.n_new:,} new pieces, {found.n_pieces:,} in all"
            )
            for tag in langs:
                cells = row["langs"][tag]
                words = ", ".join(f"{m} {a} -> {b}" for m, (a, b) in cells.items())
                print(f"  {tag}: {words}")
            if how != "replace":
                print(f"  {len(kept)} languages that are served well, {n:,} held-out texts: {share:.2%} cut in another way, "
                      f"{row['kept']['longer']} into more tokens")  # fmt: skip
            print(f"  logits over {n_same} texts that are cut as before: largest difference {apart:.2g}")
            shutil.rmtree(folder / f"{i}")
    print(json.dumps(out, default=lambda x: x.item() if isinstance(x, np.generic) else str(x)))


if __name__ == "__main__":
    main()
