"""Dropout by row: the right share, the same numbers for a row wherever it is computed, others at the next step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tiny
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.dropout import Draws, RowDropout, by_row, drawing

CPU = torch.device("cpu")
TEXTS = ["rain", "bread and soup and rice and apple and bus", "train car bridge"]


def logits(model: torch.nn.Module, places: list[int], step: int = 0) -> torch.Tensor:
    ids, _ = token_ids(model, [TEXTS[i] for i in places], 64)
    batch = padded(model, ids)
    with torch.no_grad(), drawing(Draws(7, step, places, CPU)):
        return model(**batch).logits


@pytest.mark.parametrize(
    "kind", ["bert", "xlm-roberta", "deberta-v2", "modernbert", "distilbert", "electra", "rembert"]
)
def test_a_row_meets_the_same_numbers_in_any_company(kind: str, tmp_path: Path) -> None:
    model = tiny.load(kind, tmp_path, dropout=0.3)
    by_row(model, model.net)
    plain = logits(model, [0, 1, 2])
    model.train()
    together = logits(model, [0, 1, 2])
    assert not torch.allclose(together, plain)
    assert not torch.allclose(logits(model, [0, 1, 2], step=1), together)
    torch.testing.assert_close(logits(model, [0, 1, 2]), together)
    for i in range(3):
        torch.testing.assert_close(logits(model, [i])[0], together[i], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits(model, [2, 1, 0]).flip(0), together, atol=1e-5, rtol=1e-4)
    assert not any(type(m) is torch.nn.Dropout for m in model.modules())


@pytest.mark.parametrize("shape", [(4, 300), (4, 50, 300), (4, 6, 50, 50), (64, 300)])
def test_the_share_that_is_dropped(shape: tuple[int, ...]) -> None:
    drop = RowDropout(0.25).train()
    x = torch.ones(shape)
    with drawing(Draws(1, 2, [0, 1, 2, 3], CPU)):
        out = drop(x)
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.04)
    assert torch.equal(drop.eval()(x), x)


def test_the_numbers_are_like_random_ones() -> None:
    """Of rows, steps, sites, calls and neighbours, none tells anything of another: correlations are those of chance."""

    def mask(step: int = 0, place: int = 0, site: int = 0, calls: int = 1, p: float = 0.5) -> torch.Tensor:
        draws = Draws(3, step, [place], CPU)
        for _ in range(calls):
            kept = draws.kept(torch.ones(1, 400, 256), p, site)
        return kept.float().flatten()

    base = mask()
    n = base.numel()
    others = [mask(step=1), mask(place=1), mask(site=1), mask(calls=2), mask(place=2**20), mask(site=999)]
    others += [base.view(400, 256).roll(1, 1).flatten(), base.view(400, 256).roll(1, 0).flatten()]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([base, other]))[0, 1])) < 5 / n**0.5
    for p in (0.01, 0.1, 0.3, 0.9):
        shares = torch.stack([1 - mask(step=step, p=p).mean() for step in range(40)])
        assert float(shares.mean()) == pytest.approx(p, abs=5 * (p * (1 - p) / (40 * n)) ** 0.5)
        assert float(shares.std()) == pytest.approx((p * (1 - p) / n) ** 0.5, rel=0.5)
    by_column = torch.stack([mask(step=step).view(400, 256).mean(0) for step in range(40)]).mean(0)
    assert float((by_column - 0.5).abs().max()) < 5 * 0.5 / (40 * 400) ** 0.5


def test_gradients_flow_where_nothing_was_dropped() -> None:
    x = torch.ones(2, 5, 8, requires_grad=True)
    with drawing(Draws(1, 2, [0, 1], CPU)):
        out = RowDropout(0.5).train()(x)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, out.detach())
