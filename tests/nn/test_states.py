"""States of frozen blocks: kept or computed, a run is the same; damage, a full disk and other weights are noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny
from isogloss.nn import states
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.states import RECORD, Below, digest_of, key_of, make_room
from isogloss.parts.families import encoder

TEXTS = [row["text"] for row in tiny.sentences(3)]
OPENED: list[states.Store] = []


def Store(folder: Path, width: int, n_bytes: int) -> states.Store:
    """A store that is closed when the test ends."""
    OPENED.append(states.Store(folder, width, n_bytes))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def encoded(model: Any, texts: list[str] = TEXTS) -> list[np.ndarray]:
    return token_ids(model, texts, 64)[0]


def freeze(model: Any, k: int) -> Any:
    for p in model.parameters():
        p.requires_grad_(True)
    for module in (*encoder.embeddings(model), *encoder.blocks(model)[:k]):
        for p in module.parameters():
            p.requires_grad_(False)
    return model


def logits(model: Any, ids: list[np.ndarray]) -> torch.Tensor:
    with torch.no_grad():
        return model(**padded(model, ids)).logits


@pytest.mark.parametrize("kind", list(encoder.ARCHITECTURES))
@pytest.mark.parametrize("k", [1, 3])
def test_kept_states_answer_like_the_model(kind: str, k: int, tmp_path: Path) -> None:
    model = freeze(tiny.load(kind, tmp_path), k)
    assert states.depth(model, encoder) == k
    ids = encoded(model)
    plain = logits(model, ids)
    model.below = Below(encoder, k, None)
    rounded = logits(model, ids)
    torch.testing.assert_close(rounded, plain, atol=2e-2, rtol=2e-2)
    model.below = Below(encoder, k, Store(tmp_path / "s", 16, 10**9))
    first, second = logits(model, ids), logits(model, ids)
    n_computed = model.below.n_computed
    alone = torch.cat([logits(model, [row]) for row in ids])
    assert model.below.n_computed == n_computed  # everything was read
    torch.testing.assert_close(first, rounded, atol=0, rtol=0)
    torch.testing.assert_close(second, rounded, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone, rounded, atol=1e-4, rtol=1e-3)
    model.below.store.close()
    again = Store(tmp_path / "s", 16, 10**9)
    assert all(digest_of(row) in again for row in ids)
    assert not model.below.inside


def test_what_is_trained_or_shared_ends_it(tmp_path: Path) -> None:
    model = freeze(tiny.load("deberta-v2", tmp_path), 2)
    assert states.depth(model, encoder) == 2
    model.net.deberta.encoder.rel_embeddings.weight.requires_grad_(True)  # every block reads it
    assert states.depth(model, encoder) == 0
    model = freeze(tiny.load("bert", tmp_path), 2)
    encoder.blocks(model)[1].output.dense.bias.requires_grad_(True)
    assert states.depth(model, encoder) == 1

    class Fits:
        BLOCKS = False

    assert states.depth(model, Fits) == 0


@pytest.mark.parametrize(
    "methods",
    [[{"use": "freeze", "blocks": 1}], [{"use": "freeze", "blocks": 2}], [{"use": "freeze", "blocks": 1}, "lora"]],
)
def test_a_run_is_the_same_with_states_kept_read_and_not_kept(methods: list[Any], tmp_path: Path) -> None:
    """Three epochs; rounding of half precision may fall the other way in another batch, nothing else differs."""
    common = {"methods": methods, "steps": 27, "batch": 12, "lr": 1e-2, "dropout": 0.1}
    model = {"use": "encoder", "name": str(tiny.folder("xlm-roberta"))}
    runs = {}
    for name, gb in (("bound", 1e-6), ("none", 0.0), ("kept", 1.0), ("again", 1.0)):
        made = tiny.recipe(tmp_path, name=name, train={**common, "states_gb": gb}, model=model)
        runs[name] = tiny.train(made, tmp_path)
    found = {name: [e["loss"] for e in tiny.events(run, "step")] for name, (run, _) in runs.items()}
    for name in ("none", "bound", "again"):
        np.testing.assert_allclose(found[name], found["kept"], atol=2e-3)
    assert found["again"] == found["kept"] or np.allclose(found["again"], found["kept"], atol=2e-3)
    assert any("are computed once a text and kept in" in line for line in runs["kept"][1])
    assert any("the bound of train.states_gb is reached" in line for line in runs["bound"][1])
    assert sum(path.stat().st_size for path in (tmp_path / "runs" / ".states").rglob("*.bin")) > 1000
    scores = {name: tiny.events(run, "evaluation")[-1]["by_lang"] for name, (run, _) in runs.items()}
    assert scores["kept"] == pytest.approx(scores["none"], abs=0.1)


def test_a_second_run_begins_from_the_states_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"use": "encoder", "name": str(tiny.folder("bert"))}
    train = {"methods": [{"use": "freeze", "blocks": 2}], "states_gb": 1.0}
    tiny.train(tiny.recipe(tmp_path, name="one", train=train, model=model), tmp_path)
    computed = []
    original = Below._compute
    monkeypatch.setattr(
        Below, "_compute", lambda self, m, rows, inputs: computed.append(len(rows)) or original(self, m, rows, inputs)
    )
    tiny.train(tiny.recipe(tmp_path, name="two", train={**train, "lr": 5e-3, "steps": 20}, model=model), tmp_path)
    assert sum(computed) < 30  # rows that the first did not meet


# -- the disk ---------------------------------------------------------------------------------------------------


def rows(n: int, seed: int = 0) -> dict[bytes, torch.Tensor]:
    rng = np.random.default_rng(seed)
    made = {}
    for i in range(n):
        length = int(rng.integers(1, 9))
        made[digest_of([seed, i])] = torch.from_numpy(rng.normal(size=(length, 4)).astype(np.float16))
    return made


def test_what_was_put_is_what_is_got(tmp_path: Path) -> None:
    store, want = Store(tmp_path / "k", 4, 10**6), rows(50)
    wide = torch.full((3, 4), 1e6).to(torch.bfloat16)
    for digest, value in want.items():
        store.put(digest, value)
    store.put(digest_of([7]), wide)
    for reader in (store, None):
        if reader is None:
            store.close()
            reader = Store(tmp_path / "k", 4, 10**6)
        for digest, value in want.items():
            got = reader.get(digest)
            assert got is not None and torch.equal(got, value)
        assert torch.equal(reader.get(digest_of([7])), wide)
        assert reader.get(digest_of([8])) is None
        assert not reader.said


def test_a_flipped_bit_is_noticed_and_the_row_computed_again(tmp_path: Path) -> None:
    store, want = Store(tmp_path / "k", 4, 10**6), rows(5)
    for digest, value in want.items():
        store.put(digest, value)
    store.close()
    data = tmp_path / "k" / "0.bin"
    raw = bytearray(data.read_bytes())
    raw[1] ^= 4
    data.write_bytes(raw)
    again = Store(tmp_path / "k", 4, 10**6)
    got = [again.get(digest) for digest in want]
    assert got[0] is None and all(value is not None for value in got[1:])
    assert len(again.said) == 1 and "are damaged" in again.said[0]
    first = next(iter(want))
    again.put(first, want[first])
    assert torch.equal(again.get(first), want[first])


@pytest.mark.parametrize("cut", [1, 31, 33])
@pytest.mark.parametrize("which", ["0.bin", "0.index"])
def test_after_a_kill_what_is_whole_counts(which: str, cut: int, tmp_path: Path) -> None:
    store, want = Store(tmp_path / "k", 4, 10**6), rows(9)
    for digest, value in want.items():
        store.put(digest, value)
    store.close()
    path = tmp_path / "k" / which
    path.write_bytes(path.read_bytes()[:-cut])
    again = Store(tmp_path / "k", 4, 10**6)
    lost = [digest for digest in want if digest not in again]
    assert 0 < len(lost) < 6
    for digest in lost:
        again.put(digest, want[digest])
    again.close()
    whole = Store(tmp_path / "k", 4, 10**6)
    assert all(torch.equal(whole.get(digest), value) for digest, value in want.items())


def test_the_bound_holds_and_is_said_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "k", 4, 700)
    for digest, value in rows(60).items():
        store.put(digest, value)
    store.flush()
    assert states._size_of(tmp_path) <= 700
    assert len(store.said) == 1 and "bound" in store.said[0]
    assert not store.open


def test_writers_side_by_side_keep_one_bound_together(tmp_path: Path) -> None:
    bound = 60_000
    writers = [Store(tmp_path / name, 4, bound) for name in ("k", "k", "other")]
    for i, all_rows in enumerate(zip(*(rows(900, seed=seed).items() for seed in range(3)), strict=True)):
        for store, (digest, value) in zip(writers, all_rows, strict=True):
            store.put(digest, value)
        if i % 50 == 0:
            assert states._size_of(tmp_path) <= bound
    for store in writers:
        store.flush()
    assert not any(store.open for store in writers)
    assert 0.95 * bound < states._size_of(tmp_path) <= bound


def test_a_damaged_record_does_not_hide_a_good_one_of_another_writer(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "k", 4, 10**6), Store(tmp_path / "k", 4, 10**6)
    digest, value = next(iter(rows(1).items()))
    for store in (one, two):
        store.put(digest, value)
        store.close()
    for damaged in ("1.bin", "0.bin"):
        path = tmp_path / "k" / damaged
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 4]) + whole[1:])
        again = Store(tmp_path / "k", 4, 10**6)
        assert torch.equal(again.get(digest), value), damaged
        again.close()
        path.write_bytes(whole)


def test_a_full_disk_is_said_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, want = Store(tmp_path / "k", 4, 10**6), rows(6)
    some = list(want.items())
    store.put(*some[0])

    def full(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(states.os, "pwrite", full)
        store.put(*some[1])
    assert "is full" in store.said[0]
    store.put(*some[2])
    assert store.get(some[0][0]) is not None and store.get(some[1][0]) is None and store.get(some[2][0]) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("a file")
    store = Store(tmp_path / "k", 4, 10**6)
    assert "states are not kept" in store.said[0]
    store.put(digest_of([1]), torch.zeros(1, 4, dtype=torch.float16))
    assert store.get(digest_of([1])) is None


def test_two_processes_write_side_by_side(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "k", 4, 10**6), Store(tmp_path / "k", 4, 10**6)
    a, b = rows(4), rows(4, seed=1)
    for digest, value in a.items():
        one.put(digest, value)
    for digest, value in b.items():
        two.put(digest, value)
    one.close()
    two.close()
    both = Store(tmp_path / "k", 4, 10**6)
    assert all(torch.equal(both.get(digest), value) for digest, value in {**a, **b}.items())


def test_room_is_made_by_removing_what_was_unused_longest(tmp_path: Path) -> None:
    import os

    for age, name in enumerate(("new", "old", "older")):
        store = Store(tmp_path / name, 4, 10**6)
        for digest, value in rows(20, seed=age).items():
            store.put(digest, value)
        store.close()
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    held = Store(tmp_path / "older", 4, 10**6)  # in use: it stays
    size = states._size_of(tmp_path)
    make_room(tmp_path, "new", 10, size)
    assert {p.name for p in tmp_path.iterdir()} == {"new", "older"}
    held.close()
    make_room(tmp_path, "new", size, size)
    assert {p.name for p in tmp_path.iterdir()} == {"new"}


def test_the_key_holds_what_states_depend_on(tmp_path: Path) -> None:
    model = freeze(tiny.load("xlm-roberta", tmp_path), 2)
    facts = {"device": "cpu", "precision": "fp32"}
    key = key_of(model, encoder, 2, facts)
    assert key == key_of(tiny.load("xlm-roberta", tmp_path), encoder, 2, facts)
    assert key != key_of(model, encoder, 1, facts)
    assert key != key_of(model, encoder, 2, {**facts, "precision": "bf16"})
    assert key != key_of(freeze(tiny.load("bert", tmp_path), 2), encoder, 2, facts)
    blocks = encoder.blocks(model)
    with torch.no_grad():
        blocks[2].output.dense.weight.add_(1)  # above: plays no part
    assert key == key_of(model, encoder, 2, facts)
    with torch.no_grad():
        blocks[1].output.dense.weight.view(-1)[0] += 1e-6
    assert key != key_of(model, encoder, 2, facts)
    model.net.set_attn_implementation("eager")
    assert key != key_of(model, encoder, 2, facts)
    assert RECORD.size == 32


def test_tokens_that_are_taken_out_by_chance_are_computed_each_time(tmp_path: Path) -> None:
    model = freeze(tiny.load("bert", tmp_path), 2)
    ids = encoded(model)
    batch = padded(model, ids)
    batch["attention_mask"][:, 2] = 0
    with torch.no_grad():
        plain = model(**batch).logits
        model.below = Below(encoder, 2, Store(tmp_path / "s", 16, 10**6))
        assert torch.equal(model(**batch).logits, plain)
    assert model.below.n_computed == model.below.n_read == 0
