"""Train the n-gram identifier that the package carries, src/isogloss/assets/langid, with its ledger.

    python tools/make_langid.py [--packs ../shared/data]

Trained on SIB-200 train, FLORES-200 dev, NusaX train and TICO-19, text only, without every content that has a row in
SIB-200 dev or test in any language: the two packs number their sentences differently, so contents are joined through
matched text. XQuAD contexts, XCOPA and Injongo train set the temperature and the weights, and nothing is
learned from them. UDHR is not touched. It ends with the constants of `py3` and `both`, which are written there by hand.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from isogloss.core.identify import both, chars, learning, py3
from isogloss.core.identify.both import Both, log_odds
from isogloss.core.identify.chars import Ngrams

OUT = Path("src/isogloss/assets/langid")
LIMIT = 6_000_000
CC_BY_SA, CC_BY, CC0, APACHE = "CC-BY-SA-4.0", "CC-BY-4.0", "CC0-1.0", "Apache-2.0"


def plain(text: str) -> str:
    """Letters, marks and digits only, NFKC, lower case."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(c)[0] in "LMN")


def corpora(packs: Path) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, object]]:
    """The rows to learn from, the rows to set weights on (`lang, text, group, source`), and what was kept out."""

    def read(name: str) -> pl.DataFrame:
        return pl.read_parquet(packs / f"{name}.parquet")

    def rows(frame: pl.DataFrame, source: str, text: str = "text", group: bool = True) -> pl.DataFrame:
        tie = pl.format(source + ":{}", "group") if group else pl.lit(None, pl.String)
        return frame.select("lang", pl.col(text).alias("text"), tie.alias("group"), pl.lit(source).alias("source"))

    sib, flores, nusax = read("sib200"), read("flores200"), read("nusax_senti")
    kept_out = {plain(text) for text in sib.filter(pl.col("split") != "train")["text"]}
    kept_out |= {plain(text) for text in nusax.filter(pl.col("split") != "train")["text"]}
    measured = pl.Series([plain(text) in kept_out for text in flores["text"]], dtype=pl.Boolean)
    contents = flores.filter(measured)["group"].unique()
    learn = pl.concat([
        rows(sib.filter(pl.col("split") == "train"), "sib200"),
        rows(flores.filter(~pl.col("group").is_in(contents.to_list())), "flores"),
        rows(nusax.filter(pl.col("split") == "train"), "nusax"),
        rows(read("tico19_medical"), "tico19"),
    ])  # fmt: skip
    found = pl.Series([plain(text) in kept_out for text in learn["text"]], dtype=pl.Boolean)
    ledger = {
        "flores_contents": flores["group"].n_unique(), "flores_contents_kept_out": contents.len(),
        "rows_kept_out_by_their_own_text": int(found.sum()),
    }  # fmt: skip
    learn = learn.filter(~found)
    xquad = read("xquad").unique("context", maintain_order=True)
    injongo = read("injongo_intent_slots").filter(pl.col("split") == "train").sample(4000, seed=1)
    weigh = pl.concat([
        rows(xquad, "xquad", "context", group=False), rows(read("xcopa"), "xcopa", group=False),
        rows(injongo, "injongo", group=False),
    ]).sample(fraction=1.0, shuffle=True, seed=1)  # fmt: skip
    return learn, weigh, ledger


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packs", type=Path, default=Path("../shared/data"))
    given = parser.parse_args()
    learn, weigh, ledger = corpora(given.packs)
    texts = learning.gather(learn.select("lang", "text", "group").iter_rows())
    beside = learning.gather(weigh.select("lang", "text", "group").iter_rows(), 60_000)
    made = learning.train(texts, beside=beside)
    chars.write(made.model, OUT, {"name": "isogloss", "license": CC_BY_SA})
    size = sum(path.stat().st_size for path in OUT.iterdir())
    if size > LIMIT:
        raise SystemExit(f"{size / 1e6:.1f} MB is more than {LIMIT / 1e6:.0f} MB")
    counts = learn.group_by("source", "lang").len().sort("source", "lang")
    licences = {"sib200": CC_BY_SA, "flores": CC_BY_SA, "nusax": CC_BY_SA, "tico19": CC0,
                "xquad": CC_BY_SA, "xcopa": CC_BY, "injongo": APACHE}  # fmt: skip
    write(OUT / "LEDGER.json", {
        **ledger,
        "licences": licences,
        "rows_by_source": dict(learn.group_by("source").len().sort("source").iter_rows()),
        "rows_for_weights_by_source": dict(weigh.group_by("source").len().sort("source").iter_rows()),
        "texts_by_lang": {tag: len(own.normals) for tag, own in texts.items()},
        "characters_by_lang": {tag: own.n_chars for tag, own in texts.items()},
        "by_source_lang": counts.rows(),
        "judged_on_folds_not_seen": made.judged,
    })  # fmt: skip
    judged = pl.DataFrame(made.judged)
    print(f"{size / 1e6:.2f} MB, {len(made.model.tags)} languages, beta {made.model.beta}")
    print(dict(zip((*chars.SIGNS, "constant"), made.model.weights.round(2).tolist(), strict=True)))
    print(judged.select(pl.col(pl.Float64).mean()).row(0, named=True))
    # What py3langid's word is worth is learned on texts that the n-grams have not seen either.
    seen = {tag: part(own, lambda fold: fold != 0) for tag, own in texts.items()}
    companions(
        learning.train(seen, beside=beside).model,
        {tag: part(own, lambda fold: fold == 0) for tag, own in texts.items()},
        beside,
    )


def part(texts: learning.Texts, wanted: Callable[[int], bool]) -> learning.Texts:
    """The texts of some folds."""
    chosen = [(text, fold) for text, fold in zip(texts.normals, texts.folds, strict=True) if wanted(fold)]
    return learning.Texts([text for text, _ in chosen], [fold for _, fold in chosen])


def companions(model: Ngrams, texts: dict[str, learning.Texts], beside: dict[str, learning.Texts]) -> None:
    """Print the constants by which py3langid's answers are weighed, learned on the same texts."""
    from scipy.optimize import minimize_scalar
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    second = py3.packaged()
    lots: list[tuple[list[str], np.ndarray]] = []
    for source in (texts, beside):
        pairs = []
        for tag, own in source.items():
            for i in rng.permutation(len(own.normals))[:60].tolist():
                pairs.append((own.normals[i].strip(), tag))
                pairs.append((learning.cut(own.normals[i], int(rng.integers(4, 13)), rng).strip(), tag))
        lots.append(([text for text, _ in pairs], np.array([tag for _, tag in pairs])))

    def fitted(parts: list[tuple[np.ndarray, int, float]]) -> list[float]:
        x = np.concatenate([part for part, _, _ in parts])
        y = np.concatenate([np.full(len(part), label) for part, label, _ in parts])
        w = np.concatenate([np.full(len(part), mass / max(1, len(part))) for part, _, mass in parts])
        scale = np.maximum(x.std(0), 1e-9)
        got = LogisticRegression(max_iter=1000).fit(x / scale, y, sample_weight=w * len(y) / w.sum())
        return [round(float(v), 3) for v in (*(got.coef_[0] / scale), got.intercept_[0])]

    parts, totals, golds = [], [], []
    for own, tags in lots:
        known = np.isin(tags, second.tags)
        kept, gold = [t for t, k in zip(own, known, strict=True) if k], tags[known]
        total, signs = second.signs(kept)
        right = np.array(second.tags)[total.argmax(1)] == gold
        parts.append((signs[right], 1, 1.0))
        hidden = [
            second.signs([kept[i] for i in np.flatnonzero(gold == tag)], [t for t in second.tags if t != tag])[1]
            for tag in np.unique(gold)
        ]
        parts.append((np.concatenate(hidden), 0, 1.0))
        totals.append(total)
        golds.append(np.array([second.tags.index(tag) for tag in gold]))
    print("py3.WEIGHTS =", tuple(fitted(parts)))

    def loss(heat: float) -> float:
        found = 0.0
        for total, gold in zip(totals, golds, strict=True):
            right = chars.softmax(total * heat)[np.arange(len(gold)), gold]
            found -= float(np.log(np.maximum(right, 1e-6)).mean())
        return found

    print(f"py3.HEAT = {minimize_scalar(loss, bounds=(0.2, 8), method='bounded').x:.2f}")

    parts = []
    pair = Both(model, second)
    for own, tags in lots:
        one, wide = model.read(own), second.read(own)
        odds, says = pair.agreement(one, wide)
        right = (np.array([tag for tag, _ in one.best()]) == tags) & says
        parts.append((np.column_stack([log_odds(one.fits), odds])[right], 1, 1.0))
        for alone in (False, True):  # the hidden language is one that nobody knows, or that the second does
            rows = []
            for tag in np.unique(tags):
                if alone and tag not in second.tags:
                    continue
                some = [own[i] for i in np.flatnonzero(tags == tag)]
                one = model.read(some, [t for t in model.tags if t != tag])
                wide = second.read(some, None if alone else [t for t in second.tags if t != tag])
                lacking = Both(Lacking(model, tag), second)
                odds, says = lacking.agreement(one, wide)
                rows.append(np.column_stack([log_odds(one.fits), odds])[says & (one.fits > 0)])
            parts.append((np.concatenate(rows), 0, 0.5))
    print("both.SAY =", tuple(fitted(parts)), "now", both.SAY)


class Lacking:
    """An identifier that does not know one of its languages."""

    def __init__(self, model: Ngrams, tag: str) -> None:
        self.name, self.tags = model.name, tuple(t for t in model.tags if t != tag)


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
