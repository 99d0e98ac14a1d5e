"""Character n-grams and one linear layer: no pretrained weights, seconds a language; the floor of every report.

Tf-idf over character n-grams inside words, and a multinomial logistic regression; one model a language, or one for all.
For up to `DUAL_ROWS` rows the regression is solved in the span of the rows: with X X' = U S U' it is the same problem on
U sqrt(S), as many columns as rows, and its solution w = X' U z / sqrt(S) is the one of the n-gram space (representer
theorem), at a fraction of the time. Above, it is solved on the n-grams themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from isogloss.core import files

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import scipy.sparse as sp

BLOCKS = False
DUAL_ROWS = 3000
POOLED = "*"
ARRAYS = ("idf", "coef", "intercept")
Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Linear:
    """One fitted model: n-grams in the order of the columns, `idf (V,)`, `coef (V, C)`, `intercept (C,)`, float32."""

    ngrams: list[str]
    idf: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray


@dataclass(frozen=True)
class Model:
    """What `fit` gives: one Linear by language, or one for all under `*`; `prior (C,)` answers where there is none."""

    labels: tuple[str, ...]
    order: tuple[int, int]
    linear: dict[str, Linear]
    prior: np.ndarray

    @property
    def scope(self) -> str:
        return "pooled" if POOLED in self.linear else "lang"


def fit(
    frame: pl.DataFrame,
    labels: Sequence[str],
    *,
    scope: Literal["lang", "pooled"] = "lang",
    n_min: Positive = 1,
    n_max: Positive = 5,
    strength: Annotated[float, Field(gt=0)] = 100.0,
    min_rows: Positive | None = None,
    max_ngrams: Positive = 300_000,
    tick: Callable[[str], None] | None = None,
) -> Model:
    """Fit on `text, lang, label, weight`.

    Knobs:
        scope: one model a language (`lang`) or one for all (`pooled`). A language without a model of its own gets the
            label shares of all training rows.
        n_min, n_max: lengths of the character n-grams, inside words padded with a space.
        strength: inverse of the L2 penalty (scikit-learn's C).
        min_rows: rows an n-gram must be in to be kept; default: 2 where a model has more than 2,000 rows, else 1.
        max_ngrams: the most frequent n-grams that are kept.

    `tick` is told each language that is done; it may raise to stop.
    """
    import numpy as np

    weights = frame["weight"].to_numpy()
    codes = _codes(frame["label"], labels)
    prior = np.bincount(codes, weights=weights, minlength=len(labels)) + 1e-9
    groups = {POOLED: np.arange(frame.height)} if scope == "pooled" else {
        lang: np.flatnonzero(frame["lang"].to_numpy() == lang) for lang in sorted(frame["lang"].unique())
    }  # fmt: skip
    linear: dict[str, Linear] = {}
    for lang, at in groups.items():
        at = at[weights[at] > 0]
        if len(at):
            texts = frame["text"].gather(at).to_list()
            keep = min_rows or (2 if len(at) > 2000 else 1)
            linear[lang] = _linear(
                texts, codes[at], weights[at], len(labels), (n_min, n_max), strength, keep, max_ngrams
            )
        if tick:
            tick("all languages" if lang == POOLED else lang)
    return Model(tuple(labels), (n_min, n_max), linear, prior / prior.sum())


def _codes(labelled: pl.Series, labels: Sequence[str]) -> np.ndarray:
    import polars as pl

    return labelled.replace_strict(list(labels), list(range(len(labels))), return_dtype=pl.Int64).to_numpy()


def _linear(
    texts: list[str],
    codes: np.ndarray,
    weights: np.ndarray,
    n_labels: int,
    order: tuple[int, int],
    strength: float,
    min_rows: int,
    max_ngrams: int,
) -> Linear:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from threadpoolctl import threadpool_limits

    vectorizer = TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=order,
        sublinear_tf=True,
        min_df=min_rows,
        max_features=max_ngrams,
        dtype=np.float32,
    )
    try:
        x = vectorizer.fit_transform(texts)
    except ValueError:  # not one n-gram: every text is blank
        return Linear(
            [], np.zeros(0, np.float32), np.zeros((0, n_labels), np.float32), _log_prior(codes, weights, n_labels)
        )
    ngrams, idf = list(vectorizer.get_feature_names_out()), vectorizer.idf_.astype(np.float32)
    present = np.unique(codes)
    coef = np.zeros((x.shape[1], n_labels), np.float32)
    if len(present) == 1:
        return Linear(ngrams, idf, coef, _log_prior(codes, weights, n_labels))
    with threadpool_limits(1):  # the products are small: more threads wait for each other
        w, b = _dual(x, codes, weights, strength) if x.shape[0] <= DUAL_ROWS else _primal(x, codes, weights, strength)
    # A label without rows here is out of reach, yet its probability stays above zero, so that log-loss stays finite.
    intercept = np.full(n_labels, b.min() - 10.0, np.float32)
    coef[:, present], intercept[present] = w, b
    return Linear(ngrams, idf, coef, intercept)


def _log_prior(codes: np.ndarray, weights: np.ndarray, n_labels: int) -> np.ndarray:
    import numpy as np

    counts = np.bincount(codes, weights=weights, minlength=n_labels) + 0.5
    return np.log(counts / counts.sum()).astype(np.float32)


def _logistic(
    z: Any, codes: np.ndarray, weights: np.ndarray, strength: float, max_iter: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights `(D, P)` and intercepts `(P,)` over the labels that are present; two labels give two columns too."""
    import warnings

    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of a floor are not worth the iterations
        model = LogisticRegression(C=strength, max_iter=max_iter).fit(z, codes, sample_weight=weights)
    if len(model.classes_) == 2:
        return np.hstack([-model.coef_.T / 2, model.coef_.T / 2]), np.concatenate(
            [-model.intercept_ / 2, model.intercept_ / 2]
        )
    return model.coef_.T, model.intercept_


def _dual(x: sp.csr_matrix, codes: np.ndarray, weights: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    kernel = (x @ x.T).toarray().astype(np.float64)
    values, vectors = np.linalg.eigh(kernel)
    keep = values > 1e-6 * values[-1]
    root, vectors = np.sqrt(values[keep]), vectors[:, keep]
    z, intercept = _logistic(vectors * root, codes, weights, strength, max_iter=300)
    return x.T @ (vectors @ (z / root[:, None])), intercept


def _primal(x: sp.csr_matrix, codes: np.ndarray, weights: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    return _logistic(x, codes, weights, strength, max_iter=60)


def predict(model: Model, frame: pl.DataFrame) -> np.ndarray:
    """Probabilities `(N, C)` of `text, lang`, in the order of `model.labels`."""
    import numpy as np

    out = np.tile(model.prior, (frame.height, 1))
    langs = frame["lang"].fill_null("").to_numpy()
    for lang, linear in model.linear.items():
        at = np.arange(frame.height) if lang == POOLED else np.flatnonzero(langs == lang)
        for chunk in np.array_split(at, -(-len(at) // 20_000) or 1):
            if len(chunk):
                out[chunk] = _probabilities(linear, model.order, frame["text"].gather(chunk).to_list())
    return out


def _probabilities(linear: Linear, order: tuple[int, int], texts: list[str]) -> np.ndarray:
    import numpy as np
    from scipy.special import softmax
    from sklearn.feature_extraction.text import TfidfVectorizer

    logits = np.tile(linear.intercept.astype(np.float64), (len(texts), 1))
    if linear.ngrams:
        vectorizer = TfidfVectorizer(
            analyzer="char_wb", ngram_range=order, sublinear_tf=True, vocabulary=linear.ngrams, dtype=np.float32
        )
        vectorizer.idf_ = linear.idf
        logits += vectorizer.transform(texts) @ linear.coef
    return softmax(logits, axis=1)


# -- without labels ---------------------------------------------------------------------------------------------

# Columns that n-grams are hashed to: a vocabulary of many languages has millions, and need not be held.
HASHES = 2**20
CHUNK = 20_000


def rarity(texts: Sequence[str]) -> np.ndarray:
    """Inverse document frequency `(HASHES,)` of hashed n-grams, smoothed: one that no text has weighs most."""
    import numpy as np

    counts = np.zeros(HASHES)
    for begin in range(0, len(texts), CHUNK):
        counts += np.bincount(_hashed(texts[begin : begin + CHUNK]).indices, minlength=HASHES)
    return (np.log((1 + len(texts)) / (1 + counts)) + 1).astype(np.float32)


def vectors(texts: Sequence[str], rarity: np.ndarray) -> sp.csr_matrix:
    """Unit tf-idf vectors `(N, HASHES)` of the n-grams that `fit` has by default; a blank text is zero."""
    import numpy as np
    from sklearn.preprocessing import normalize

    x = _hashed(texts)
    x.data = (1 + np.log(x.data)) * rarity[x.indices]
    return normalize(x, copy=False)


def _hashed(texts: Sequence[str]) -> sp.csr_matrix:
    """Counts `(N, HASHES)` of hashed character n-grams inside words."""
    import numpy as np
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        analyzer="char_wb", ngram_range=(1, 5), n_features=HASHES, alternate_sign=False, norm=None, dtype=np.float32
    )
    return hashing.transform(texts)


# -- on disk ----------------------------------------------------------------------------------------------------


def write(model: Model, folder: Path) -> list[Path]:
    """Write `ngram.safetensors` (arrays) and `ngram.json` (labels, n-grams by language)."""
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {"prior": np.ascontiguousarray(model.prior)}
    for lang, linear in model.linear.items():
        for name in ARRAYS:
            tensors[f"{lang}.{name}"] = np.ascontiguousarray(getattr(linear, name))
    arrays, text = folder / "ngram.safetensors", folder / "ngram.json"
    with files.whole(arrays) as temporary:
        save_file(tensors, temporary)
    value = {
        "labels": model.labels,
        "order": model.order,
        "ngrams": {lang: linear.ngrams for lang, linear in model.linear.items()},
    }
    files.write_text(text, json.dumps(value, ensure_ascii=False))
    return [arrays, text]


def read(folder: Path) -> Model:
    """Read what `write` wrote. Raises DamagedError when a file is missing or damaged."""
    labels, order, ngrams = files.read_own(folder / "ngram.json", _texts)
    return files.read_own(folder / "ngram.safetensors", lambda path: _model(path, labels, order, ngrams))


def _texts(path: Path) -> tuple[tuple[str, ...], tuple[int, int], dict[str, list[str]]]:
    value = json.loads(path.read_text(encoding="utf-8"))
    return tuple(value["labels"]), tuple(value["order"]), dict(value["ngrams"])


def _model(path: Path, labels: tuple[str, ...], order: tuple[int, int], ngrams: dict[str, list[str]]) -> Model:
    from safetensors.numpy import load_file

    arrays = load_file(path)
    linear = {lang: Linear(own, *(arrays[f"{lang}.{name}"] for name in ARRAYS)) for lang, own in ngrams.items()}
    return Model(labels, order, linear, arrays["prior"])
