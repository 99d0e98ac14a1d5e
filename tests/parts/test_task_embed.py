"""Task embed: translation ranking, and what each row finds. And the mix that brings translations together."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from isogloss.core.errors import DataError
from isogloss.nn.batches import deal
from isogloss.nn.pooling import POOLINGS, pooled
from isogloss.nn.ranking import ranking
from isogloss.parts.mixes import parallel
from isogloss.parts.tasks import embed


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def table(n_groups: int, langs: str = "abc") -> pl.DataFrame:
    rows = [
        {"id": f"{g}{lang}", "lang": lang, "group": str(g), "split": "dev"} for g in range(n_groups) for lang in langs
    ]
    return pl.DataFrame(rows)


def test_what_a_row_finds_is_what_a_plain_search_finds() -> None:
    rng = np.random.default_rng(0)
    frame, vectors = table(7), unit(rng.normal(size=(21, 5)))
    found = embed.answers(frame, vectors, ())
    for i, row in enumerate(frame.iter_rows(named=True)):
        others = frame.with_row_index("at").filter(pl.col("lang") != row["lang"])
        cosines = {}
        for (group,), own in others.group_by("group"):
            centre = vectors[own["at"].to_numpy()].sum(0)
            cosines[group] = float(vectors[i] @ centre / np.linalg.norm(centre))
        assert found["pred"][i] == max(cosines, key=cosines.__getitem__)
        assert found["rank"][i] == sum(c >= cosines[row["group"]] - 1e-6 for c in cosines.values())
        assert found["confidence"][i] == pytest.approx(max(cosines.values()), abs=1e-5)


def test_perfect_vectors_are_found_and_equal_ones_are_not() -> None:
    frame = table(6)
    perfect = np.repeat(np.eye(6), 3, axis=0)
    assert embed.answers(frame, perfect, ())["rank"].to_list() == [1] * 18
    same = np.tile([1.0, 0, 0], (18, 1))
    assert min(embed.answers(frame, same, ())["rank"]) == 6, "ties count against the row"


def test_rows_without_a_translation_and_splits_stay_apart() -> None:
    frame = pl.DataFrame(
        {"lang": ["a", "b", "a", "a"], "group": ["1", "1", "2", None], "split": ["dev", "test", "dev", "dev"]}
    )
    found = embed.answers(frame, np.eye(4), ())
    assert found["rank"].to_list() == [None] * 4
    assert embed.answers(frame.head(0), np.zeros((0, 3)), ()).height == 0


def test_the_loss_of_two_languages_is_in_batch_ranking_in_both_directions() -> None:
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(6, 8), dim=-1) for _ in range(2))
    vectors = torch.stack([a, b], 1).reshape(12, 8)
    loss_B, n_B = ranking(vectors, torch.arange(6).repeat_interleave(2), 20.0)
    assert n_B.tolist() == [1.0] * 12
    for i in range(6):  # the other contents' centres are both languages; its own is the translation
        centres = torch.nn.functional.normalize(a + b, dim=-1)
        logits = 20 * a[i] @ centres.T
        logits[i] = 20 * a[i] @ b[i]
        assert loss_B[2 * i] == pytest.approx(float(torch.logsumexp(logits, 0) - logits[i]), abs=1e-5)


def test_a_row_alone_has_no_loss_and_order_is_nothing() -> None:
    torch.manual_seed(1)
    vectors = torch.nn.functional.normalize(torch.randn(5, 4), dim=-1).requires_grad_()
    group = torch.tensor([3, 3, 9, 7, 3])
    loss_B, n_B = ranking(vectors, group, 20.0)
    assert n_B.tolist() == [1, 1, 0, 0, 1]
    assert loss_B[2:4].tolist() == [0, 0]
    order = torch.tensor([4, 2, 0, 3, 1])
    torch.testing.assert_close(ranking(vectors[order], group[order], 20.0)[0], loss_B[order])
    loss_B.sum().backward()
    assert torch.isfinite(vectors.grad).all()


def test_one_group_or_nothing_tied_is_refused() -> None:
    with pytest.raises(DataError, match="no two train rows are tied"):
        embed.labels(pl.DataFrame({"lang": ["a", "a", "b"], "group": ["1", "1", "2"]}))
    with pytest.raises(DataError, match="the train rows have one group in two languages"):
        embed.labels(table(1))
    assert embed.labels(table(2)) == ()


@pytest.mark.parametrize("together", [2, 3, 5])
def test_a_window_has_every_row_and_blocks_of_one_group(together: int) -> None:
    rng = np.random.default_rng(3)
    rows = pl.DataFrame(
        [{"lang": lang, "group": str(g)} for g in range(40) for lang in "abcdefg"[: 1 + g % 7]]
        + [{"lang": "a", "group": None}] * 3
    )
    window = parallel.order(rows, rng, {}, together=together)
    counts = np.bincount(window, minlength=rows.height)
    assert counts.min() == 1
    assert counts.sum() <= rows.height + 40, "only blocks of one are filled up"
    groups = [rows["group"][i] or f"alone {i}" for i in window.tolist()]
    sizes = dict(rows["group"].value_counts().iter_rows())
    for i, group in enumerate(groups):  # a row with a translation stands beside one
        if sizes.get(group, 1) > 1:
            assert group in (groups[i - 1] if i else None, groups[i + 1] if i + 1 < len(groups) else None)


def test_languages_that_score_worse_come_more_often() -> None:
    rows = table(200)
    dev = {"dev": {"a": 0.9, "b": 0.9, "c": 0.5}}
    window = np.concatenate([parallel.order(rows, np.random.default_rng(i), dev, focus=1.0) for i in range(5)])
    shares = rows[window.tolist()]["lang"].value_counts(normalize=True)
    by_lang = dict(shares.iter_rows())
    assert by_lang["c"] > 2 * by_lang["a"]
    assert by_lang["a"] == pytest.approx(by_lang["b"], abs=0.05)


@pytest.mark.parametrize(("size", "n_micro"), [(1, 1), (1, 3), (2, 2), (3, 1)])
def test_rows_of_a_group_are_dealt_to_one_hand(size: int, n_micro: int) -> None:
    rng = np.random.default_rng(0)
    ties, lengths = rng.integers(0, 9, 40), rng.integers(3, 9, 40)
    hands = [part for rank in range(size) for part in deal(lengths, rank, size, n_micro, ties)]
    assert sorted(i for part in hands for i in part.tolist()) == list(range(40))
    for group in range(9):
        assert sum(group in set(ties[part]) for part in hands) <= 1


@pytest.mark.parametrize("how", POOLINGS)
def test_padding_does_not_change_a_vector(how: str) -> None:
    torch.manual_seed(2)
    states = torch.randn(3, 6, 4)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    whole = pooled(states, mask, how)
    for i, n in enumerate((6, 3, 1)):
        alone = pooled(states[i : i + 1, :n], mask[i : i + 1, :n], how)
        torch.testing.assert_close(whole[i : i + 1], alone)
    with pytest.raises(ValueError, match="no pooling 'sum'"):
        pooled(states, mask, "sum")
