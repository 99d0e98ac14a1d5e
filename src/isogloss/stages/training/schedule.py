"""How many steps a training has, and when it evaluates. Seconds become steps once, and are written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from isogloss.core.errors import BudgetEnded
from isogloss.core.recipe import Train

EPOCHS = 5.0
EVALUATIONS = 10
# The share of a budget of seconds that evaluations may take, and what is left unplanned for a machine that slows.
FOR_EVALUATIONS, SLACK = 0.25, 0.03


@dataclass(frozen=True)
class Measured:
    """Seconds of one step, of one evaluation on dev, of writing one checkpoint, and, where frozen blocks are computed
    once, of that for one row."""

    step: float
    evaluation: float
    save: float
    fill: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The length of a training. `why` is a sentence about where the number of steps comes from; `rows` are about as many
    as it will see."""

    steps: int
    eval_every: int
    why: str
    measured: Measured | None = None
    rows: float = 0.0

    def evaluates(self, step: int) -> bool:
        return step % self.eval_every == 0 or step == self.steps

    @property
    def n_evaluations(self) -> int:
        return math.ceil(self.steps / self.eval_every)

    def ends(self, shares: Sequence[float]) -> list[int]:
        """The steps at which these shares of the run are over, each at least one step after the one before.

        >>> Plan(10, 5, "").ends([0.33, 0.67, 1.0])
        [3, 7, 10]
        """
        found: list[int] = []
        for share in shares:
            found.append(min(self.steps, max(round(share * self.steps), (found[-1] if found else 0) + 1)))
        return found

    def rate(self, step: int, warmup: float) -> float:
        """The factor of the learning rate at `step` (from 0): rising over the share `warmup`, then falling to 0.

        >>> [round(Plan(4, 1, "").rate(step, 0.25), 2) for step in range(4)]
        [1.0, 1.0, 0.67, 0.33]
        """
        n_warm = math.ceil(self.steps * warmup)
        if step < n_warm:
            return (step + 1) / n_warm
        return (self.steps - step) / max(1, self.steps - n_warm)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, value: dict[str, Any]) -> Plan:
        measured = Measured(**value["measured"]) if value["measured"] else None
        return cls(value["steps"], value["eval_every"], value["why"], measured, value["rows"])


def plan(
    spec: Train, n_rows: int, a_batch: float, seconds: float | None, left: float, measured: Measured | None
) -> Plan:
    """Fix the number of steps, of `a_batch` rows each.

    `steps` stands as it is given; `epochs` (5 where neither it nor seconds are given) is the number of steps unless the
    seconds do not suffice; seconds alone give as many steps as fit, evaluations and saving included. `measured` is
    needed where there are `seconds`; `left` of them are left.
    Raises BudgetEnded when not one step fits.
    """
    wanted, why = _wanted(spec, n_rows, a_batch, seconds is not None)
    if seconds is None or measured is None:
        assert wanted is not None
        return Plan(wanted, spec.eval_every or _every(wanted, EVALUATIONS), why, rows=wanted * a_batch)
    once = measured.evaluation + measured.save
    usable = left - SLACK * seconds - measured.save  # writing the model takes about as long as a checkpoint
    if usable < measured.step + once:
        raise BudgetEnded(
            f"the budget of {seconds:g} seconds has {max(0.0, left):.0f} left, and one step with an evaluation takes "
            f"{measured.step + once:.1f}; raise budget.seconds, or use fewer languages, rows or layers"
        )
    n_evals = max(1, min(EVALUATIONS, int(FOR_EVALUATIONS * usable / max(once, 1e-9))))
    step = measured.step
    if spec.eval_every:  # steps and their evaluations together
        step += once / spec.eval_every
    else:
        usable -= n_evals * once
    # Rows are met for the first time until all were: such a step takes longer.
    first = int(usable / (step + a_batch * measured.fill))
    fitting = max(1, first if first * a_batch < n_rows else int((usable - n_rows * measured.fill) / step))
    if wanted is not None and (spec.steps is not None or wanted <= fitting):
        return Plan(wanted, spec.eval_every or _every(wanted, n_evals), why, measured, wanted * a_batch)
    why = f"{seconds:g} seconds, at {measured.step:.3g} s a step and {once:.3g} s an evaluation" + (
        f" ({why} do not fit)" if wanted else ""
    )
    return Plan(fitting, spec.eval_every or _every(fitting, n_evals), why, measured, fitting * a_batch)


def _wanted(spec: Train, n_rows: int, a_batch: float, has_seconds: bool) -> tuple[int | None, str]:
    if spec.steps is not None:
        return spec.steps, "steps of the recipe"
    if spec.epochs is None and has_seconds:
        return None, ""
    epochs = spec.epochs or EPOCHS
    return max(1, round(epochs * n_rows / a_batch)), f"{epochs:g} epochs of {n_rows:,} rows"


def _every(steps: int, n: int) -> int:
    return max(1, math.ceil(steps / n))
