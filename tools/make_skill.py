"""Write skills/multilingual-picker/SKILL.md from the code that plans, for agents.

python tools/make_skill.py            # write
python tools/make_skill.py --check    # compare; exit code 1 when the page is stale (CI runs this)
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from isogloss.cli import planning
from isogloss.core import catalogue, curves, sizes
from isogloss.stages import catalogue as shown
from isogloss.stages.planning import choose, evaluation, fit, labels
from isogloss.stages.planning.tasks import DOMAINS, TASKS
from isogloss.stages.reference import CODES

OUT = Path(__file__).parents[1] / "skills" / "multilingual-picker" / "SKILL.md"
MACHINE = "1x24GB"
DESCRIPTION = (
    "Decide a multilingual project before spending on it: source languages, base model, tokenizer, labels by language, "
    "method, memory, time and energy, evaluation by language. Use it when somebody asks which model reads some languages, "
    "how many labels to buy and where, whether a training fits a machine, or how to score in many languages."
)


def page() -> str:
    """The skill as Markdown."""
    return "\n".join([*_head(), *_use(), *_rules(), *_tasks(), *_labels(), *_models()]).rstrip() + "\n"


def _head() -> Iterator[str]:
    yield from ("---", "name: multilingual-picker", f"description: {json.dumps(DESCRIPTION)}", "---", "")
    yield "<!-- Made by tools/make_skill.py from the code; mend the code, not this page. -->"
    yield from ("", "# Multilingual picker", "")
    yield "`isogloss plan` answers these questions from codes and configs: no torch, no network, a few seconds. Prefer it to memory: lists of languages, licences and sizes are in its catalogue with their sources. Where it is not installed, the rules and tables below are what it goes by."
    yield ""


def _use() -> Iterator[str]:
    options = inspect.signature(planning.plan).parameters
    yield from (
        "## Use",
        "",
        "Find out first, and do not guess: the task, every language (with its script), the domain, the machine, the time, money and labels there are, whether use is commercial, and whether there are texts already.",
        "",
    )
    yield from ("```sh", 'isogloss plan --task intake --langs eng,swa,amh --machine laptop --budget "8h, 1500 labels" --json',
                "isogloss plan recipe.toml --json               # the recipe may be half a recipe; its data is looked at",
                "isogloss models --langs amh,tir --task ner     # which models have read them; licence, memory by method",
                "isogloss audit --tokenizer MODEL --text FILE --json", "isogloss doctor --measure                     # ten seconds; then times are this machine's", "```", "")  # fmt: skip
    said = ", ".join(f"`--{name.replace('as_json', 'json').replace('_', '-')}`" for name in options if name != "recipe")
    yield f"Options: {said} (`isogloss plan --help`). It writes `plan.json`, `PLAN.md` and a completed recipe into `plans/NAME`; `--out -` writes nothing. `--calibrate` and `--probe` load torch and say before it what they spend: ask the person first."
    yield ""
    yield (
        "The document has `sources`, `model`, `tokenizer`, `labels`, `method` and `evaluation`, each with `choice`, `evidence`, `uncertainty` and `next_best`. Tell all four. Exit codes: "
        + CODES
        + "."
    )
    yield ""
    yield "- No number without its language, its n and its interval; say *uncalibrated* where `method.calibrated` is false."
    yield "- `notes` come first: what cannot be done, what was assumed, what a code was read as."
    yield "- `trains_today` false: isogloss does not train the task; the recipe is for `instead`. Say so, and do not call it the task."
    yield "- `model.row.unsure` names what nobody looked up, a licence for instance: it must be looked up before it decides anything."
    yield "- The expected score is for sharing out labels. It is no forecast to promise."
    yield ""


def _rules() -> Iterator[str]:
    doc = inspect.getdoc(choose) or ""
    yield from ("## What it goes by", "")
    yield "- Model. " + " ".join(doc.split("\n\n", 1)[1].split())
    yield f"  Close is {choose.CLOSE:g} points of XNLI. A base of up to {choose.REGIONAL} languages counts as one of their region when one of them is asked for that is not among those with most data."
    yield "- Tokenizer: a language whose script the vocabulary lacks is broken, not cheap: most of its text is unknown. Byte fallback reads everything and takes long. Audit before the first step."
    yield f"- Method: the first of {', '.join(fit.TRIED)} that fits with {fit.MARGIN - 1:.0%} to spare, a step taken in up to {fit.PARTS[-1]} parts, then with blocks computed again; and the time."
    yield f"- Labels: {curves.FEWEST} to {curves.MOST} of each language, until the next hundred bring less than {curves.WORTH:g} point; {labels.DEV} of each for dev. Zero-shot only where labelling is not feasible."
    widths = ", ".join(f"± {100 * w:.0f} points: {sizes.rows_for(w, metric='macro_f1')}" for w in (0.05, 0.07, 0.1))
    yield f"- Test rows of each language, for a 95 % interval of macro-F1 at 0.8: {widths}. A drop of {100 * evaluation.DROP:.0f} points between two models is seen with {sizes.rows_to_see(evaluation.DROP)} paired rows. Under {labels.LEAST_TEST} rows there are proxies only."
    yield "- Evaluation: every language, the worst first, beside character n-grams and, where there is one, a model of that language alone; consistency on translated rows; for tags entity-level F1. The mean over languages is never the answer."
    yield ""


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |"
    yield ""


def _tasks() -> Iterator[str]:
    yield from (f"## Tasks (`--task`; domains: {', '.join(DOMAINS)})", "")
    rows = [
        [task.name, task.words, ", ".join(task.models), task.metrics[0], f"yes, as {task.part}" if task.part else "no"]
        for task in TASKS.values()
    ]
    yield from _table(["task", "answers", "models", "scored by", "isogloss trains it"], rows)


def _labels() -> Iterator[str]:
    yield from (
        "## What labels bring",
        "",
        "error(n) = error(0) × (1 + n / half) ^ -a, with a for a tenth, half and nine tenths of the languages:",
        "",
    )
    rows = [
        [task, f"{curve.half:.0f}", f"{curve.low:.3f}, {curve.usual:.3f}, {curve.high:.3f}", curve.on, curve.n_langs]
        for task, curve in curves.curves().items()
    ]
    yield from _table(["task", "half", "a", "fitted on", "languages"], rows)
    yield "Of generating, translating and vectors no curve was measured. A project's own `isogloss few-shot` replaces these."
    yield ""


def _models() -> Iterator[str]:
    yield from ("## Models", "", f"GB by method on {MACHINE}: encoders with 32 rows of 128 tokens, others with one row of 512. XNLI: points over XLM-R base. Commercial: whether the licence allows it; ? is: read it. Languages: of a published list (`isogloss models NAME` has it); ? is: none is published.", "")  # fmt: skip
    rows = []
    for row in shown.rows(machine=MACHINE):
        model = row.model
        size = model.arch.n_parameters if model.arch else None
        kind = ", ".join(filter(None, (model.kind, model.head, model.domain)))
        rows.append([
            model.name, kind, "?" if size is None else f"{size / 1e6:,.0f}", "?" if model.languages is None else len(model.languages),
            model.licence or "?", {True: "yes", False: "no", None: "?"}[model.commercial], model.context or "?",
            "" if model.xnli is None else f"{model.xnli:+.1f}",
            *(f"{row.n_bytes[name] / 1e9:.1f}" if name in row.n_bytes else "" for name in ("full", "lora", "qlora")),
        ])  # fmt: skip
    yield from _table(
        ["model", "kind", "million", "languages", "licence", "commercial", "reads", "XNLI", "full", "lora", "qlora"],
        rows,
    )
    noted = [
        model
        for model in catalogue.models().values()
        if model.note and (model.domain or "Afri" in model.note or "alone" in model.note)
    ]
    yield from ("Where a base of a domain or of few languages wins, or does not:", "")
    yield from (f"- {model.name}: {model.note}" for model in noted)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    text = page()
    if given.out.is_file() and given.out.read_text(encoding="utf-8") == text:
        return 0
    if given.check:
        sys.stderr.write(f"{given.out} is stale; run: python tools/make_skill.py\n")
        return 1
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, encoding="utf-8")
    sys.stderr.write(f"wrote {given.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
