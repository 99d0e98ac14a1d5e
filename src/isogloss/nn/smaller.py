"""A tokenizer with fewer pieces, in the form that tokenizer.json has, that cuts covered text as before.

Why it does. Of a text all of whose pieces are kept:
- unigram: the best path is still there, and every other path that is left was worse before (the lowest score is kept
  too, since unknown characters are scored from it);
- bpe: merges that never took part are gone, and the others are in their old order: a kept piece keeps every merge that
  can build it, and the pieces these join;
- wordpiece: the longest piece at each place is still there, and no longer one is.
Single characters (inside a word too) and bytes always stay, so that no text becomes unknown that was not.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from isogloss.core import token_files
from isogloss.core.errors import InputError
from isogloss.core.tokens import BYTE, byte_alphabet


def must_stay(value: Mapping[str, Any]) -> set[int]:
    """Ids of the pieces that stay whatever the text: added tokens, characters, bytes, and what unknown ones need."""
    kind, model = token_files.kind_of(value), value["model"]
    if kind not in ("unigram", "bpe", "byte-level bpe", "wordpiece"):
        raise InputError(f"a tokenizer of the kind '{kind}' has no pieces to take out")
    vocab = _vocab(value)
    prefix = model.get("continuing_subword_prefix") or ("##" if kind == "wordpiece" else "")
    suffix = model.get("end_of_word_suffix") or ""
    stay = {int(one["id"]) for one in value.get("added_tokens") or ()}
    letters = set(byte_alphabet()) if kind == "byte-level bpe" else set()
    for piece, i in vocab.items():
        bare = piece.removeprefix(prefix) if prefix and len(piece) > len(prefix) else piece
        bare = bare.removesuffix(suffix) if suffix and len(bare) > len(suffix) else bare
        if len(bare) == 1 or piece in letters or BYTE.fullmatch(piece):
            stay.add(i)
    if kind == "unigram":
        stay |= {int(model["unk_id"])} if isinstance(model.get("unk_id"), int) else set()
        stay.add(min(range(len(model["vocab"])), key=lambda i: model["vocab"][i][1]))
    elif model.get("unk_token") in vocab:
        stay.add(vocab[model["unk_token"]])
    return stay


def smaller(value: Mapping[str, Any], wanted: set[int]) -> tuple[dict[str, Any], np.ndarray]:
    """The tokenizer with the pieces of the ids `wanted` and those that must stay; and the old id of each new one `(N,)`.

    Ids keep their order. Raises InputError for a kind of tokenizer that has no pieces to take out.
    """
    out: dict[str, Any] = copy.deepcopy(dict(value))
    out["padding"] = out["truncation"] = None
    model, vocab = out["model"], _vocab(value)
    keep = wanted | must_stay(value)
    if model.get("merges"):
        model["merges"], keep = _merges(model, vocab, keep)
    kept = np.array(sorted(keep), np.int64)
    new = {int(old): i for i, old in enumerate(kept)}
    if isinstance(model["vocab"], list):
        model["vocab"] = [entry for i, entry in enumerate(model["vocab"]) if i in new]
        if isinstance(model.get("unk_id"), int):
            model["unk_id"] = new[model["unk_id"]]
    else:
        model["vocab"] = {piece: new[i] for piece, i in model["vocab"].items() if i in new}
    for one in out.get("added_tokens") or ():
        one["id"] = new[int(one["id"])]
    out["post_processor"] = _renumbered(out.get("post_processor"), new)
    return out, kept


def _vocab(value: Mapping[str, Any]) -> dict[str, int]:
    vocab = value["model"]["vocab"]
    return {piece: i for i, (piece, _) in enumerate(vocab)} if isinstance(vocab, list) else dict(vocab)


def _merges(model: Mapping[str, Any], vocab: Mapping[str, int], keep: set[int]) -> tuple[list[Any], set[int]]:
    """The merges that can build a kept piece, in their order, and what is kept with the pieces they join."""
    prefix = model.get("continuing_subword_prefix") or ""
    pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    made: dict[int, list[tuple[int, int]]] = {}
    whole = [vocab.get(a + (b.removeprefix(prefix) if prefix else b)) for a, b in pairs]
    for (a, b), i in zip(pairs, whole, strict=True):
        if i is not None and a in vocab and b in vocab:
            made.setdefault(i, []).append((vocab[a], vocab[b]))
    keep, waiting = set(keep), list(keep)
    while waiting:
        for halves in made.get(waiting.pop(), ()):
            waiting += [half for half in halves if half not in keep]
            keep.update(halves)
    return [merge for merge, i in zip(model["merges"], whole, strict=True) if i in keep], keep


def _renumbered(part: Any, new: Mapping[int, int]) -> Any:
    """A post-processor whose special tokens have their new ids."""
    if isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):
            return [part[0], new[part[1]]]
        return [_renumbered(each, new) for each in part]
    if isinstance(part, dict):
        if set(part) >= {"id", "ids", "tokens"}:
            return {**part, "ids": [new[i] for i in part["ids"]]}
        return {key: _renumbered(each, new) for key, each in part.items()}
    return part


def renumbered_config(config: Mapping[str, Any], kept: np.ndarray) -> dict[str, Any]:
    """The keys of a model's config that name ids, with the new ones; a token that is gone has none."""
    new = {int(old): i for i, old in enumerate(kept)}
    found: dict[str, Any] = {}
    for key, value in json.loads(json.dumps(config)).items():
        if key.endswith("_token_id") and isinstance(value, int):
            found[key] = new.get(value)
        elif key.endswith("_token_id") and isinstance(value, list):
            found[key] = [new[i] for i in value if i in new]
    return found
