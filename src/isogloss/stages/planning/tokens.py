"""Whether a tokenizer can carry the languages: the audit where the tokenizer is on this disk, else what its kind tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isogloss.core import catalogue
from isogloss.core.catalogue import Model
from isogloss.core.errors import IsoglossError
from isogloss.core.lang import facts
from isogloss.core.tax import Judged
from isogloss.stages.planning.advice import Advice, Other
from isogloss.stages.planning.need import Need

# Texts of a language without which it is not audited; of the bundled sample, how many are read.
FEWEST, BUNDLED = 10, 60
REFERENCE = "eng_Latn"


@dataclass(frozen=True)
class Tokens:
    """What the audit says of each language that there was text of; models that are known to serve those in need."""

    judged: Mapping[str, Judged]
    on: str
    better: Mapping[str, Sequence[str]]
    advice: Advice

    def document(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "langs": [
                {"lang": tag, "verdict": each.verdict, "needs": list(each.needs), "reasons": list(each.reasons),
                 "models": list(self.better.get(tag, ()))}
                for tag, each in self.judged.items()
            ],
            "on": self.on, **self.advice.document(),
        }  # fmt: skip


def audit(asked: Need, folder: Path, *, own: bool = False) -> tuple[dict[str, Judged], str]:
    """What each language needs of the tokenizer in a folder, on the user's texts or the bundled ones; and on which.

    Nothing where the folder has no tokenizer that can be read without torch. Raises InputError where the user named the
    folder (`own`) and its tokenizer is damaged.
    """
    from isogloss.core import token_files
    from isogloss.stages.audit import verdicts
    from isogloss.stages.auditing import sample

    try:
        tokenizer = token_files.read(folder, str(folder))
    except IsoglossError:
        if own and (folder / "tokenizer.json").is_file():
            raise
        return {}, ""
    texts = {
        tag: some
        for tag, some in (asked.data.texts if asked.data else {}).items()
        if len(some) >= FEWEST and tag != "und"
    }
    wanted = {tag: some for tag, some in texts.items() if tag in asked.langs}
    if wanted:
        base = REFERENCE if REFERENCE in texts else next(iter(sorted(wanted)))
        if base in texts:
            wanted.setdefault(base, texts[base])
        found = sample.of(wanted)
        on = f"{sum(len(some) for some in wanted.values()):,} of your texts"
    else:
        found, base, on = (
            sample.read_texts(sample.BUNDLED, limit=BUNDLED),
            REFERENCE,
            "the bundled sample of clinic messages",
        )
    judged = verdicts(tokenizer, found.rows, base)
    return {tag: judged[tag] for tag in asked.langs if tag in judged}, on


def lacking(judged: Mapping[str, Judged]) -> list[str]:
    """Languages that the tokenizer cannot carry: they need another model, or their text is lost."""
    return [tag for tag, each in judged.items() if each.verdict == "broken" or "another model" in each.needs]


def serving(tag: str, kinds: Sequence[str] = ("encoder",), most: int = 3) -> list[str]:
    """Models of some kinds that have read a language, the smallest first; of encoders those that isogloss trains."""
    from isogloss.stages.planning.fit import loads

    known = [
        model for model in catalogue.models().values()
        if model.arch and model.kind in kinds and model.covers(tag) == "yes" and model.head in ("", "chat") and not model.domain
        and (model.kind != "encoder" or loads(model.arch.model_type))
    ]  # fmt: skip
    known.sort(key=lambda model: model.arch.n_parameters if model.arch else 0)
    return [model.name for model in known[:most]]


def tokens(asked: Need, model: Model | None, judged: Mapping[str, Judged], on: str, kind: str = "") -> Tokens:
    """What is to be done about the tokenizer of the model that was chosen; `kind` of it where its file tells."""
    question = "Can the tokenizer carry the languages"
    if model is None and asked.family is not None:
        return Tokens({}, "", {}, Advice(
            question, f"not asked: '{asked.family}' is the recipe's, and no model of the catalogue",
            ("n-grams read characters, and lose no script" if asked.family == "ngram" else "its words are counted when it is fitted",),
            "Nothing was measured.", (Other("name a model", "--model NAME or a folder with a config.json"),),
        ))  # fmt: skip
    if model is None:
        return Tokens({}, "", {}, Advice(
            question, "not asked: there is no model", ("no model of the catalogue can do it here",),
            "Everything about it.", (Other("name a model", "--model NAME or a folder with a config.json"),),
        ))  # fmt: skip
    needy = {tag: each for tag, each in judged.items() if each.needs}
    unseen = [tag for tag in asked.langs if tag not in judged]
    off_list = [tag for tag in asked.langs if model.reads(tag) is False]
    better = {
        tag: [name for name in serving(tag, asked.task.models) if name != model.name] for tag in (*needy, *off_list)
    }
    evidence = []
    if judged:
        fine = len(judged) - len(needy)
        evidence.append(f"audited on {on}: {fine} of {len(judged)} languages are carried well")
        evidence += [
            f"{facts(tag).name} ({tag}) is {each.verdict}: {'; '.join(each.reasons)}"
            for tag, each in list(needy.items())[:8]
        ]
    kind = kind or model.tokenizer_kind
    how = {"unigram": "pieces by likelihood (SentencePiece)", "bpe": "pieces by merges", "wordpiece": "WordPiece"}.get(
        kind, "of a kind nobody told"
    )
    fallback = "what they lack is read as bytes, so nothing is unknown, but such text is long" if model.by_bytes else (
        "what they lack becomes unknown: a script that it has not seen is unreadable" if model.tokenizer
        else "what becomes of text that they lack is measured, not known beforehand"
    )  # fmt: skip
    evidence.append(f"{how}; {fallback}")
    if model.languages is not None:
        evidence.append(
            f"{len(asked.langs) - len(off_list)} of {len(asked.langs)} languages are on the list of what it was trained on"
            + (
                f"; not: {', '.join(off_list[:8])}" + (f" and {len(off_list) - 8} more" if len(off_list) > 8 else "")
                if off_list
                else ""
            )
        )
    for tag in [tag for tag in dict.fromkeys((*needy, *off_list)) if better.get(tag)][:4]:
        evidence.append(f"{tag} was read by {', '.join(better[tag])}")
    command = f"isogloss audit --tokenizer {model.name} --text YOUR_TEXTS"
    if needy:
        choice = f"not all of them: {', '.join(list(needy)[:6])}" + (
            f" and {len(needy) - 6} more" if len(needy) > 6 else ""
        )
    elif judged:
        choice = "yes, for those that there was text of" if unseen else "yes"
    else:
        if model.languages is None:
            choice = "not known: nobody published which languages it has read"
        elif off_list:
            choice = f"not likely for {_few(off_list)}"
        else:
            choice = "likely, by its list of languages"
        choice += f"; audit it before the first step: {command}"
    unsure = []
    if unseen and judged:
        unsure.append(f"There was no text of {_few(unseen)}: nothing was measured there.")
    elif not judged:
        unsure.append(
            "Its tokenizer is not on this disk, so nothing was measured; a list of languages says that text was read, not how well it is cut."
        )
    else:
        unsure.append(
            "Measured on a sample of texts; what a tokenizer costs is measured, what it costs in quality is not."
        )
    if asked.task.part is not None:
        unsure.append("`isogloss run` audits again on all rows, and the gate at train stops it before the first step.")
    if model.kind == "encoder":
        cure = (
            f"isogloss cure {model.name} --by extend --text TEXTS --out DIR: new pieces, which need continued training"
        )
    else:
        cure = "new pieces for the languages that lack them, and continued training on their text, which isogloss does not do for models that write"
    none = [tag for tag in better if not better[tag]]
    named = [f"{tag}: {', '.join(names)}" for tag, names in list(better.items())[:3] if names]
    named += [f"no model of the catalogue that does {asked.task.name} has {_few(none)} on its list"] if none else []
    more = [
        Other("give it what it lacks", cure),
        Other("another model", "; ".join(named) or "none is needed by its list of languages"),
    ]
    return Tokens(judged, on, better, Advice(question, choice, tuple(evidence), " ".join(unsure), tuple(more)))


def _few(tags: Sequence[str]) -> str:
    return ", ".join(tags[:6]) + (f" and {len(tags) - 6} more" if len(tags) > 6 else "")
