"""Milliseconds that isogloss/mini takes for one sentence on one core, tokenizer included, beside an n-gram classifier.

    python benchmarks/mini_speed.py

The least of many repetitions: on a shared machine anything above it is the neighbours. The last line is JSON.
"""

from __future__ import annotations

import json
import time

SENTENCE = (
    "The results of the blood test will be ready by Thursday afternoon, so please call before you come to the clinic."
)


def least(work, n: int = 300) -> float:
    times = []
    for _ in range(n):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main() -> None:
    import torch
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    torch.set_num_threads(1)
    from isogloss.nn.embedder import Embedder

    embedder = Embedder.load("isogloss/mini")
    ours = least(lambda: embedder.embed([SENTENCE]))
    words = SENTENCE.split()
    texts = [" ".join(words[i % 7 :: 2]) for i in range(200)]
    plain = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5)), LogisticRegression())
    plain.fit(texts, [i % 2 for i in range(200)])
    floor = least(lambda: plain.predict([SENTENCE]))
    print(f"isogloss/mini {ours:.2f} ms, n-grams {floor:.2f} ms a sentence, ratio {ours / floor:.1f}")
    print(json.dumps({"mini_ms": ours, "ngram_ms": floor, "ratio": ours / floor}))


if __name__ == "__main__":
    main()
