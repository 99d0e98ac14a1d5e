"""isogloss: fine-tune multilingual language models, by language.

    import isogloss
    outcome = isogloss.run("recipe.toml")
    model = isogloss.load("runs/reviews")
    model.predict(["Habari yako?"], lang="swh_Latn")
    vectors = isogloss.embed(["Habari yako?", "How are you?"])

Importing this package does nothing else; heavy libraries are imported by the stage or part that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from isogloss.core.recipe import Recipe
    from isogloss.stages.chain import Outcome
    from isogloss.stages.model import Model

__all__ = ["__version__", "cluster", "embed", "load", "retrieve", "run"]
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


def embed(texts: Sequence[str], model: str = "isogloss/mini", *, prompt: str | None = None) -> np.ndarray:
    """Unit vectors `(N, D)` float32 of texts, in their order.

    `model` is `isogloss/mini`, a folder (of transformers, sentence-transformers, or a run of isogloss) or a hub name;
    `prompt` stands before every text: the name of one of the model's prompts, or a text. An empty text raises
    `isogloss.core.errors.DataError` with its position.
    """
    from isogloss.stages import embed as stage

    return stage.embed(texts, model, prompt=prompt)


def retrieve(
    queries: Sequence[str] | np.ndarray,
    docs: Sequence[str] | np.ndarray,
    model: str = "isogloss/mini",
    *,
    top: int = 10,
    query_prompt: str | None = None,
    doc_prompt: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions `(Q, top)` of the docs nearest to each query, nearest first, and their cosines `(Q, top)`.

    Either side is texts or vectors `(N, D)`; the search is exact. A prompt that is None is the model's own for queries
    or documents, if it has one. Dimensions that differ raise `isogloss.core.errors.DataError`.
    """
    from isogloss.stages import retrieve as stage

    return stage.retrieve(queries, docs, model, top=top, query_prompt=query_prompt, doc_prompt=doc_prompt)


def cluster(
    texts: Sequence[str] | np.ndarray,
    model: str = "isogloss/mini",
    *,
    clusters: int | None = None,
    smallest: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """The number of the cluster of each text (or vector) `(N,)`, from 0 for the largest; -1 for none.

    With `clusters`, k-means into so many; without, HDBSCAN finds how many of at least `smallest` rows there are.
    """
    from isogloss.stages import cluster as stage

    return stage.cluster(texts, model, clusters=clusters, smallest=smallest, seed=seed)
