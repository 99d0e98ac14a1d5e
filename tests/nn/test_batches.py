"""Dealing rows to hands, and answering in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from isogloss.nn.answer import TOKENS, by_length, outputs
from isogloss.nn.batches import deal, token_ids


@settings(deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 6))
def test_every_row_is_dealt_to_one_hand(lengths: list[int], size: int, n_micro: int) -> None:
    hands = [deal(np.array(lengths), rank, size, n_micro) for rank in range(size)]
    assert all(len(hand) == n_micro for hand in hands)
    places = np.concatenate([part for hand in hands for part in hand])
    assert sorted(places.tolist()) == list(range(len(lengths)))
    shares = [sum(len(part) for part in hand) for hand in hands]
    assert max(shares) - min(shares) <= 1


@settings(deadline=None)
@given(st.lists(st.integers(1, 9000), max_size=60))
def test_batches_by_length_hold_every_row_once_and_few_tokens(lengths: list[int]) -> None:
    batches = by_length(lengths)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= TOKENS


def test_answers_come_in_order_and_do_not_depend_on_company(tmp_path: Path) -> None:
    model = tiny.load("modernbert", tmp_path)
    ids, _ = token_ids(model, [row["text"] for row in tiny.sentences(6)], 64)
    together = outputs(model, ids)
    alone = np.concatenate([outputs(model, [row]) for row in ids])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    model.train()
    outputs(model, ids[:2])
    assert all(module.training for module in model.modules())  # the mode is as before
    assert outputs(model, []).shape == (0, 3)
