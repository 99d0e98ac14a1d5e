"""Kinds of projects: what is asked of a text, which models can answer, how answers are scored, what isogloss trains today.

Whether isogloss trains a task is asked of its parts, never written here: a new part in parts/tasks is planned for by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isogloss.core import parts
from isogloss.core.errors import InputError, nearest


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of project.

    `models`: kinds of models that can answer, the cheapest first; `parts`: names of parts that would train it; `sources`:
    the task under which sources are ranked; `score`: the headline, of core/sizes.py; `metrics`: all that are computed, by
    language; `unit`: what is labelled; `tokens`, `labels`: usual for a row, where nobody says; `small`: it is served in
    bulk, so that the smallest model comes first. `instead`: the task that runs meanwhile, and what it answers.
    """

    name: str
    words: str
    models: tuple[str, ...]
    parts: tuple[str, ...]
    sources: str
    score: str
    metrics: tuple[str, ...]
    unit: str
    tokens: int
    labels: int
    small: bool = False
    head: str = ""
    instead: tuple[str, str] | None = None

    @property
    def part(self) -> str | None:
        """The part that trains it today; None where there is none."""
        known = parts.names("tasks")
        return next((name for name in self.parts if name in known), None)

    @property
    def generates(self) -> bool:
        return "encoder" not in self.models


_LABELS = (
    "macro_f1",
    "accuracy",
    "recall of each label",
    "precision of each label",
    "calibration_error",
    "consistency",
)
TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("classify", "one label for a text", ("encoder",), ("classify",), "classify", "macro_f1", _LABELS, "texts", 48, 6),
        Task(
            "sentiment", "the sentiment of a text", ("encoder",), ("classify",), "sentiment", "macro_f1", _LABELS,
            "texts", 32, 3,
        ),
        Task(
            "intent", "what somebody wants, as one of some intents", ("encoder",), ("classify",), "intent", "macro_f1",
            _LABELS, "messages", 24, 20,
        ),
        Task(
            "route", "where a message goes, for many messages a second", ("encoder",), ("classify",), "intent",
            "macro_f1", (*_LABELS, "milliseconds a message, median and 95th percentile, on the machine that serves",
             "share of messages in languages that are not planned for, and where they go"), "messages", 32, 12, small=True,
        ),
        Task(
            "nli", "whether a text follows from another", ("encoder",), ("nli", "pair", "pairs"), "nli", "accuracy",
            ("accuracy", "macro_f1", "calibration_error"), "pairs", 48, 3,
            instead=("classify", "a label for both texts in one, with a mark between them: it runs, and it is the weaker way"),
        ),
        Task(
            "ner", "entities in a text", ("encoder",), ("tag", "ner"), "ner", "entity_f1",
            ("entity-level F1 (exact spans and types)", "entity-level F1 by type", "boundary F1 (types ignored)", "consistency"),
            "sentences", 48, 9,
            instead=("classify", "a label for a sentence: which kinds of entities it holds. It sorts what annotators read "
                     "first, and it is no NER"),
        ),
        Task(
            "tag", "a tag for every word", ("encoder",), ("tag", "pos"), "tag", "accuracy",
            ("accuracy of words", "accuracy of words that train rows lack", "macro_f1 over tags"), "sentences", 40, 17,
            instead=("classify", "a label for a sentence, no tags"),
        ),
        Task(
            "qa", "the span of a passage that answers a question", ("encoder",), ("qa", "span"), "qa", "exact_match",
            ("exact match", "F1 of words or, where words have no spaces, of characters", "unanswered share"), "questions", 250, 2,
            instead=("embed", "which passage answers a question, by vectors: it finds the passage, not the span"),
        ),
        Task(
            "embed", "a vector for a text, for search across languages", ("encoder",), ("embed",), "embed", "recall_at_1",
            ("recall_at_1", "recall_at_10", "mrr"), "tied texts", 32, 0, head="embed",
        ),
        Task(
            "translate", "a text in another language", ("encoder-decoder", "decoder"), ("translate", "seq2seq"), "translate",
            "chrf", ("chrF++ in each direction", "adequacy by speakers on 100 sentences", "share left untranslated"),
            "sentence pairs", 64, 0, head="translate",
            instead=("embed", "vectors by which pairs of sentences are checked and found: for the data, not the translation"),
        ),
        Task(
            "generate", "text that answers a person", ("encoder-decoder", "decoder"), ("generate", "chat", "seq2seq"),
            "generate", "accuracy",
            ("share of answers that speakers call right", "share of answers in the language that was asked",
             "refusals", "invented facts", "consistency: the same questions in every language"),
            "dialogue turns", 300, 0,
            instead=("classify", "what a person wants, as one of some intents: answers are then written by people, by hand "
                     "and by language. It is a bot that cannot invent, and it is what can be trained here today"),
        ),
    )
}  # fmt: skip
# Other words for the same → the task.
WORDS: Mapping[str, str] = {
    "classification": "classify", "topic": "classify", "topics": "classify", "intake": "classify", "triage": "classify",
    "headlines": "classify", "toxicity": "classify", "hate": "classify", "opinion": "sentiment", "intents": "intent",
    "routing": "route", "router": "route", "entailment": "nli", "entities": "ner", "slots": "ner", "pos": "tag",
    "tagging": "tag", "questions": "qa", "question-answering": "qa", "search": "embed", "retrieval": "embed",
    "similarity": "embed", "vectors": "embed", "translation": "translate", "mt": "translate", "chat": "generate",
    "chatbot": "generate", "summarise": "generate", "summarize": "generate", "summarisation": "generate",
    "generation": "generate", "dialogue": "generate",
}  # fmt: skip
DOMAINS = ("legal", "finance", "medical")
_DOMAINS = {"law": "legal", "financial": "finance", "health": "medical", "clinical": "medical", "biomedical": "medical"}


def task(name: str) -> Task:
    """The task that a word means. Raises InputError for one that means none."""
    key = name.strip().casefold().replace("_", "-")
    key = WORDS.get(key, key)
    if key not in TASKS:
        close = nearest(key, [*TASKS, *WORDS])
        raise InputError(
            f"'{name}' is no task that can be planned{close if 'did you mean' in close else nearest(key, TASKS)}"
        )
    return TASKS[key]


def domain(name: str) -> str:
    """The domain that a word means; nothing for none. Raises InputError for one that means none."""
    key = name.strip().casefold()
    key = _DOMAINS.get(key, key)
    if key and key not in DOMAINS:
        raise InputError(
            f"there is nothing in the catalogue for the domain '{name}'{nearest(key, [*DOMAINS, *_DOMAINS])}"
        )
    return key
