"""The card of isogloss/mini, written from measured scores and the ledger; no score of it is typed by hand.

Typed are the goals, the minutes of training, and what character n-grams from Indonesian reach on NusaX (0.540)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isogloss.core import lang as lang_table

# What is aimed at: the mean of a score, and how it is called.
GOALS = (
    ("zero_shot", "zero-shot", 0.64),
    ("retrieval", "retrieval", 0.80),
    ("fine_tuned", "fine-tuned on all languages", 0.72),
)


def card(folder: Path, scores: dict[str, Any]) -> None:
    """Write `README.md` beside the weights."""
    ledger = json.loads((folder / "LEDGER.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "README.md").write_text("\n".join(lines(scores, ledger, config)) + "\n", encoding="utf-8")


def span(value: dict[str, Any] | None) -> str:
    return "–" if not value else f"{value['value']:.2f} [{value['interval'][0]:.2f}, {value['interval'][1]:.2f}]"


def summed(value: dict[str, Any]) -> str:
    inside = "" if value.get("interval") is None else f" [{value['interval'][0]:.3f}, {value['interval'][1]:.3f}]"
    return f"{value['mean']:.3f}{inside} | {value['worst']:.3f} ({value['worst_lang']}) | {value['worst_tenth']:.3f} | {value['n_langs']}"


def lines(scores: dict[str, Any], ledger: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    by = scores["by_lang"]
    look, sources = ledger["look"], ledger["trained_rows_by_source"]
    trained = ledger["trained_rows_by_lang"]
    yield "---"
    yield "license: cc-by-sa-4.0"
    yield "library_name: transformers"
    yield "pipeline_tag: sentence-similarity"
    yield "---"
    yield "# isogloss/mini"
    yield ""
    yield (
        f"A small multilingual text encoder: ModernBERT, {config['num_hidden_layers']} layers, width {config['hidden_size']}, "
        f"{config['vocab_size']:,} unigram pieces over bytes, mean pooling, stored in half precision. It is in the package so that "
        "cross-lingual transfer can be seen, and used, without a hub, a download or an accelerator. `AutoModel` and "
        "`AutoTokenizer` read it with no code of ours, sentence-transformers reads it with its pooling. Larger models "
        "(XLM-R, multilingual E5) know far more; take one where you can."
    )
    yield ""
    yield "## What it was trained on"
    yield ""
    yield "| source | train rows | licence |"
    yield "| --- | ---: | --- |"
    names = {
        "flores": "FLORES-200 dev", "sib200": "SIB-200 train, text only", "tico19": "TICO-19, medical",
        "nusax": "NusaX train, text only",
    }  # fmt: skip
    licences = {"tico19": "CC0"}
    for source, n in sorted(sources.items(), key=lambda item: -item[1]):
        yield f"| {names[source]} | {n:,} | {licences.get(source, 'CC-BY-SA 4.0')} |"
    yield ""
    yield (
        f"Parallel text only, {sum(trained.values()):,} rows in {len(trained)} languages; no labels. Recipes: "
        "`recipes/mini/static.toml`, then `recipes/mini/mini.toml`; 31 and 16 minutes on two cores shared with other work. Text under CC-BY-SA went in: "
        "share what you make of these weights under the same terms, and name FLORES-200 (NLLB Team 2022), SIB-200 (Adelani et al. "
        "2024), NusaX (Winata et al. 2023) and TICO-19 (Anastasopoulos et al. 2020)."
    )
    yield ""
    yield (
        f"**Nothing that is measured was trained on.** `LEDGER.json` counts rows in and out by step, language and source and "
        f"names the contents that were trained on. A second look, written apart from the steps, compared {look['trained_rows']:,} "
        f"train rows with {look['measured_rows']:,} measured rows of SIB-200 and NusaX in all languages: {look['rows_found']} "
        f"found; of the {look['flores_contents_with_a_measured_row']} FLORES contents that have a measured row in any language, "
        f"{len(look['of_them_trained_on'])} were trained on. SIB-200 is FLORES text all the same: same domains, same translators."
    )
    yield ""
    yield (
        f"Measured text did take part in one way: of the {look['held_out_contents']} contents held out to choose the checkpoint and "
        f"how often each language comes, {look['held_out_contents_measured']} are in SIB-200 dev or test or NusaX dev or test "
        "(without their labels). The checkpoint that was chosen is the last one."
    )
    yield ""
    yield "## What it knows"
    yield ""
    yield "Measured by `python benchmarks/mini.py --all`; 95 % intervals over contents."
    yield ""
    yield "| | mean over languages | worst | worst tenth | languages |"
    yield "| --- | --- | --- | --- | ---: |"
    yield f"| SIB-200 topic, logistic regression on English only | {summed(scores['zero_shot'])} |"
    if "all" in scores:
        yield f"| SIB-200 topic, on all languages' train rows | {summed(scores['all'])} |"
    tuned = scores.get("fine_tuned")
    if tuned:
        yield f"| SIB-200 topic, fine-tuned on all languages' train rows | {summed(tuned)} |"
    yield f"| English → X retrieval, 1 of 204 | {summed(scores['retrieval'])} |"
    yield f"| Questions (XQuAD, 1 of 1,190, and MGSM, 1 of 250), English → X | {summed(scores['questions'])} |"
    nusax = scores["nusax"]
    yield ""
    yield (
        f"English itself: {scores['zero_shot']['english']:.3f}. NusaX sentiment from Indonesian: {nusax['mean']:.3f} macro-F1 over "
        f"the 11 other languages (worst {nusax['worst']:.3f}; Indonesian {nusax['indonesian']:.3f}); character n-grams from "
        "Indonesian give 0.540."
    )
    short = [
        f"{name} {scores[key]['mean']:.3f} (goal {mean:.2f})"
        for key, name, mean in GOALS
        if key in scores and scores[key]["mean"] < mean
    ]
    if short:
        yield ""
        yield f"Short of what we aimed at: {'; '.join(short)}."
    if tuned:
        yield ""
        yield (
            f"Fine-tuned on all languages it is above character n-grams that know one language each ({tuned['floor']:.3f}) in "
            f"{tuned['above_floor']} of {tuned['n_langs']} languages by point values: with hundreds of labelled rows a language, n-grams are the better choice; "
            "with none to about a hundred, this model is (docs/results.md)."
        )
    yield ""
    yield "### By language, worst first"
    yield ""
    yield (
        "Topic from English (accuracy, n = 204), retrieval from English (share found, n = 204), sentiment from Indonesian (macro-F1, "
        "n = 400), train rows, and tokens of a text over those of its English translation."
    )
    yield ""
    yield "| language | topic | retrieval | sentiment | train rows | tokens |"
    yield "| --- | --- | --- | --- | ---: | ---: |"
    langs = [*by["zero_shot"], *(lang for lang in by["nusax"] if lang not in by["zero_shot"])]
    for lang in langs:
        tokens = by["fertility"].get(lang)
        yield (
            f"| {lang} {lang_table.facts(lang).name} | {span(by['zero_shot'].get(lang))} | {span(by['retrieval'].get(lang))} | "
            f"{span(by['nusax'].get(lang))} | {trained.get(lang, 0):,} | "
            + (f"{tokens['over_english']:.2f} |" if tokens else "– |")
        )
    yield ""
    yield "## Limits"
    yield ""
    yield (
        "- It has read a few thousand contents. It knows topics and names, little grammar, no reasoning; negation and word order hardly "
        "count."
    )
    yield (
        "- Text is read in NFKC, lower case, with digits as ASCII: it cannot tell `US` from `us`. Every byte is representable, so no text "
        "is unknown, but a script it has not seen is read as bytes, and says little."
    )
    clinic = scores["clinic"]
    strangers = " and ".join(f"{lang} {value:.2f}" for lang, value in sorted(clinic["others"].items()))
    yield (
        f"- Short messages to a clinic (the bundled sample: 6 topics, trained on 420 messages in six languages, macro-F1): "
        f"{clinic['sources']:.2f} in those, {clinic['known']:.2f} in the other languages that it was trained on. That is far from "
        "news and encyclopaedia, and it shows."
    )
    yield (
        f"- Languages that it was not trained on: {strangers} on the same sample, which is chance or below. Take it to know "
        "nothing of such a language, most of all in a script of its own, until you have measured it."
    )
    yield "- It was trained on texts of up to 96 tokens, the blocks of up to 72; it reads up to 512, longer ones were not measured."
    yield "- Translations come from translators into, mostly, English-centred text; how people of a language write was not its teacher."
