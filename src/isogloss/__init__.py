"""isogloss: fine-tune multilingual language models, by language.

    import isogloss
    outcome = isogloss.run("recipe.toml")
    model = isogloss.load("runs/reviews")
    model.predict(["Habari yako?"], lang="swh_Latn")

Importing this package does nothing else; heavy libraries are imported by the stage or part that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from isogloss.core.recipe import Recipe
    from isogloss.stages.chain import Outcome
    from isogloss.stages.model import Model

__all__ = ["__version__", "load", "run"]
__version__ = "0.1.0"


def run(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    *,
    sets: Sequence[str] = (),
    runs: str | Path = "runs",
    again: bool = False,
) -> Outcome:
    """Run a recipe from raw data to the verdict, and return what came of it.

    `recipe` is a TOML file, a mapping or a Recipe. A gate that refuses is an outcome, not an exception; what is wrong
    with the recipe or the input raises `isogloss.core.errors.InputError`.
    """
    from isogloss.stages import chain

    return chain.run(recipe, sets=sets, runs=runs, again=again)


def load(path: str | Path) -> Model:
    """Load a model from a run, an export, or the shelf; `.predict(texts, lang=...)` gives labels.

    Raises `isogloss.core.errors.MissingError` when there is none.
    """
    from isogloss.stages import model

    return model.load(path)
