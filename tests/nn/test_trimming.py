"""A trimmed vocabulary answers, learns and is written like the whole one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from isogloss.core.errors import DamagedError, PlaceError
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.disk import stored, write_tensors
from isogloss.nn.trimming import Table, TrimmedEmbedding, trimmed, used
from isogloss.parts.families import encoder

KINDS = list(encoder.ARCHITECTURES)
ENGLISH = [row["text"] for row in tiny.sentences(4, ("eng_Latn",))]
THAI = [row["text"] for row in tiny.sentences(2, ("tha_Thai",))]


def kept_of(texts: list[str]) -> np.ndarray:
    pieces = tiny.tokenizer()
    noted = np.zeros(len(pieces), bool)
    for ids in pieces(texts)["input_ids"]:
        noted[ids] = True
    kept = used(noted, pieces.all_special_ids)
    assert kept is not None and len(kept) < 0.6 * len(pieces)
    return kept


def logits(model: Any, texts: list[str]) -> torch.Tensor:
    ids, _ = token_ids(model, texts, 64)
    with torch.no_grad():
        return model(**padded(model, ids)).logits


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_like_the_whole_one_and_is_written_whole(kind: str, tmp_path: Path) -> None:
    kept = kept_of(ENGLISH)
    whole, cut = tiny.load(kind, tmp_path), tiny.load(kind, tmp_path, kept=kept)
    for model in (whole, cut):  # a new head is random, and drawn after another number of weights
        torch.manual_seed(0)
        for name, p in model.named_parameters():
            if "classifier" in name or "head" in name or "pooler" in name:
                torch.nn.init.normal_(p)
    own = trimmed(cut.net)
    assert own is not None and own.weight.shape[0] == len(kept)
    assert cut.net.config.vocab_size == len(tiny.tokenizer())
    torch.testing.assert_close(logits(cut, ENGLISH), logits(whole, ENGLISH), atol=0, rtol=0)
    # ids without a row are read from disk
    torch.testing.assert_close(logits(cut, THAI), logits(whole, THAI), atol=0, rtol=0)
    with torch.no_grad():
        own.weight.add_(0.5)
        place = torch.from_numpy(kept)
        whole.net.get_input_embeddings().weight[place] += 0.5
    encoder.write(cut, tmp_path / "cut")
    encoder.write(whole, tmp_path / "whole")
    a, b = encoder.read(tmp_path / "cut"), encoder.read(tmp_path / "whole")
    for (name, one), (_, other) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    assert json.loads((tmp_path / "cut" / "config.json").read_text()) == json.loads(
        (tmp_path / "whole" / "config.json").read_text()
    )


def test_gradients_are_those_of_the_rows(tmp_path: Path) -> None:
    """The padding row takes none, as in nn.Embedding; neither do rows that are read from disk."""
    kept = kept_of(ENGLISH)
    whole, cut = tiny.load("xlm-roberta", tmp_path), tiny.load("xlm-roberta", tmp_path, kept=kept)
    cut.load_state_dict({k: v for k, v in whole.state_dict().items() if "word_embeddings" not in k}, strict=False)
    for model in (whole, cut):
        ids, _ = token_ids(model, [*ENGLISH, *THAI], 64)
        model(**padded(model, ids)).logits.square().sum().backward()
    want = whole.net.get_input_embeddings().weight.grad[torch.from_numpy(kept)]
    got = trimmed(cut.net).weight.grad
    torch.testing.assert_close(got, want)
    pad = np.flatnonzero(kept == tiny.tokenizer().pad_token_id)[0]
    assert not got[pad].any()


@pytest.mark.parametrize("methods", [["full"], ["lora"], [{"use": "freeze", "blocks": 1}]])
def test_training_trimmed_is_training_whole(methods: list[Any], tmp_path: Path) -> None:
    """Same losses, same written weights where rows are used; all other rows are the bits they were."""
    rows = [row for row in tiny.sentences(12) if row["lang"] != "tha_Thai"]
    runs = []
    for trim in (True, False):
        train = {"trim": trim, "methods": methods, "lr": 5e-3, "steps": 8, "dropout": 0.0}
        made = tiny.recipe(
            tmp_path, name=f"trim-{trim}".lower(), rows=rows, train=train,
            model={"use": "encoder", "name": str(tiny.folder("xlm-roberta"))},
        )  # fmt: skip
        runs.append(tiny.train(made, tmp_path))
    (cut, said), (whole, _) = runs
    assert any("rows of the vocabulary are used" in line for line in said)
    losses = [[e["loss"] for e in tiny.events(run, "step")] for run in (cut, whole)]
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    tables = [encoder.read(run.path("model")).net.get_input_embeddings().weight for run in (cut, whole)]
    before = tiny.load("xlm-roberta", tmp_path).net.get_input_embeddings().weight
    kept = kept_of([row["text"] for row in rows])
    torch.testing.assert_close(tables[0][kept], tables[1][kept], atol=1e-4, rtol=1e-3)
    others = np.setdiff1d(np.arange(len(before)), kept)
    assert torch.equal(tables[0][others], before[others])


def test_a_folder_that_is_changed_under_it_is_noticed(tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(tiny.folder("bert"), tmp_path / "bert")
    model = tiny.load("bert", tmp_path, model_folder=folder, kept=kept_of(ENGLISH))
    path = folder / "model.safetensors"
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))
    logits(model, ENGLISH)  # needs nothing of it
    with pytest.raises(PlaceError, match="was changed while a model was being trained from it"):
        logits(model, THAI)
    with pytest.raises(PlaceError, match="was changed"):
        encoder.write(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_shards(dtype: torch.dtype, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    net = AutoModelForMaskedLM.from_pretrained(tiny.folder("xlm-roberta"), dtype=dtype)
    net.save_pretrained(tmp_path / "half", max_shard_size="8KB")
    tiny.tokenizer().save_pretrained(tmp_path / "half")
    assert len(list((tmp_path / "half").glob("*.safetensors"))) > 1
    kept = kept_of(ENGLISH)
    model = tiny.load("xlm-roberta", tmp_path, model_folder=tmp_path / "half", kept=kept)
    assert isinstance(model.net.get_input_embeddings(), TrimmedEmbedding)
    encoder.write(model, tmp_path / "out")
    table = encoder.read(tmp_path / "out").net.get_input_embeddings().weight
    assert torch.equal(table.to(dtype), net.get_input_embeddings().weight)


def test_a_table_is_read_by_row(tmp_path: Path) -> None:
    want = torch.arange(60, dtype=torch.float32).view(20, 3)
    write_tensors(tmp_path / "t.safetensors", {"x.weight": want, "flag": torch.tensor(True), "none": torch.zeros(0, 4)})
    table = Table.find([tmp_path / "t.safetensors"], "model.x.weight", 20)
    assert table is not None and table.shape == (20, 3)
    for ids in ([], [0], [19], [0, 1, 2, 17], list(range(20))):
        assert torch.equal(table.rows(np.array(ids, np.int64)), want[ids])
    assert Table.find([tmp_path / "t.safetensors"], "model.x.weight", 21) is None
    from safetensors.torch import load_file

    assert torch.equal(load_file(tmp_path / "t.safetensors")["flag"], torch.tensor(True))
    cut = tmp_path / "cut.safetensors"
    for n in (3, 20, 150):
        cut.write_bytes((tmp_path / "t.safetensors").read_bytes()[:n])
        with pytest.raises(DamagedError, match="no safetensors file, or damaged"):
            stored(cut)


def test_what_is_used(tmp_path: Path) -> None:
    noted = np.zeros(10, bool)
    noted[[2, 5]] = True
    assert used(noted, [0, 3, 99]).tolist() == [0, 2, 3, 5]  # type: ignore[union-attr]
    noted[:] = True
    assert used(noted, []) is None
