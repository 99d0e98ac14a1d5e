"""Budget: seconds over all sittings."""

from __future__ import annotations

import math

import pytest

from isogloss.core.budget import Budget
from isogloss.core.errors import BudgetEnded


def test_without_a_limit_nothing_ends() -> None:
    budget = Budget()
    assert budget.left == math.inf
    budget.must_last("anything")


def test_earlier_sittings_count() -> None:
    now = [100.0]
    budget = Budget(10.0, before=6.0, clock=lambda: now[0])
    assert (budget.spent, budget.left) == (6.0, 4.0)
    budget.must_last("the model was fitted")
    now[0] += 4
    with pytest.raises(BudgetEnded, match=r"the budget of 10 seconds ended before the model was fitted") as caught:
        budget.must_last("the model was fitted")
    assert caught.value.exit_code == 3
