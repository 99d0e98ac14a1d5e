"""Machines in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core import machines
from isogloss.core.energy import AROUND_WATTS, CORE_WATTS
from isogloss.core.errors import InputError


@pytest.mark.parametrize(
    ("words", "kind", "n", "gb"),
    [
        ("1x24GB", "cuda", 1, 24), ("24GB", "cuda", 1, 24), ("8 x 80 GB h100", "cuda", 8, 80),
        ("2x rtx 4090", "cuda", 2, 24), ("NVIDIA A100 80GB", "cuda", 1, 80), ("a100", "cuda", 1, 40), ("40GB a100", "cuda", 1, 40), ("laptop", "cpu", 1, 13.5),
        ("cpu 32GB 8 cores", "cpu", 1, 29.5), ("laptop 8GB", "cpu", 1, 5.5), ("cpu, 4 cores, 16 GB", "cpu", 1, 13.5),
    ],
)  # fmt: skip
def test_words_that_people_use(words: str, kind: str, n: int, gb: float) -> None:
    found = machines.parse(words)
    assert (found.kind, found.n) == (kind, n)
    assert found.n_bytes == pytest.approx(gb * 1e9)
    assert not found.rates.calibrated
    assert found.rates.spread > 1
    assert found.assumed  # nobody measured it, and it says what was taken for granted


@pytest.mark.parametrize(
    "words", ["", "toaster", "24", "0x24GB", "1x0GB", "cpu 0 cores", "cpu 16GB fast", "1x24GB rtx-9999"]
)
def test_what_is_no_machine_is_one_sentence(words: str) -> None:
    with pytest.raises(InputError) as caught:
        machines.parse(words)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_no_text_breaks_it(words: str) -> None:
    try:
        found = machines.parse(words)
    except InputError:
        return
    assert found.n >= 1


def test_a_card_that_is_not_named_is_the_slowest_of_its_size() -> None:
    plain = machines.parse("1x24GB")
    for card in machines.cards().values():
        if card.n_bytes == 24e9:
            named = machines.parse(f"1x24GB {card.name}")
            assert named.rates.seconds["flops"] <= plain.rates.seconds["flops"]


def test_a_name_that_begins_another_is_not_the_other() -> None:
    """a10 and a100 are different cards."""
    assert machines.parse("1x80GB a100").watts == machines.cards()["a100-80"].watts
    assert machines.parse("40GB a100").watts == machines.cards()["a100-40"].watts
    assert machines.parse("a10").watts == machines.cards()["a10"].watts


def test_watts_are_those_of_the_ledger() -> None:
    assert machines.parse("cpu 16GB 4 cores").watts == AROUND_WATTS + 4 * CORE_WATTS
