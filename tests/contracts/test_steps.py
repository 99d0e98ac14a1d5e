"""What holds for every step: same rows, honest reasons, and no dependence on how shards are cut."""

from __future__ import annotations

import inspect
import random
import typing
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from isogloss.core import parts

SCHEMA = dict.fromkeys(
    (
        *("id", "lang", "variety", "split", "source", "license", "collected", "original_or_translated", "group"),
        *("text", "label", "drop"),
    ),
    pl.String,
)
LANGS = ("eng_Latn", "swh_Latn", "hin_Deva", "amh_Ethi", "zho_Hans", "ewe_Latn")
TEXTS = {
    "eng_Latn": "The clinic on Station Road opens at eight in the morning and the doctor sees children first.",
    "swh_Latn": "Zahanati iliyoko barabara ya stesheni hufunguliwa saa mbili asubuhi na daktari huona watoto kwanza.",
    "hin_Deva": "स्टेशन रोड का क्लिनिक सुबह आठ बजे खुलता है और डॉक्टर पहले बच्चों को देखते हैं।",
    "amh_Ethi": "በጣቢያ መንገድ ላይ ያለው ክሊኒክ ከጠዋቱ ሁለት ሰዓት ይከፈታል ሐኪሙም መጀመሪያ ሕፃናትን ያያል።",
    "zho_Hans": "车站路的诊所早上八点开门,医生先给孩子们看病,然后才轮到大人,请大家耐心等待。",
    "ewe_Latn": "Kɔdzi si le keteke ƒe mɔ dzi la ʋuna le ŋdi ga enyi eye ɖɔkta la kpɔa ɖeviwo gbã.",
}
ODD = [None, "", " \u00a0\ufeff", "\x00\x07", "?!", "😀👨‍👩‍👧", "ok", "\u202eabc", "می\u200cروم", "a" * 3000, "\ufffd"]
ODD.append("<html><body><script>1</script></body></html>")


def rows() -> pl.DataFrame:
    """Rows as they may come: duplicates, translations, wrong languages, dirt, nulls."""
    found: list[dict[str, str | None]] = []

    def add(text: str | None, lang: str | None, split: str | None, group: str | None) -> None:
        label = "a" if len(found) % 3 else "b"
        name = f"r{len(found):03d}"
        found.append({"id": name, "text": text, "lang": lang, "split": split, "group": group, "label": label})

    for n in range(4):
        for lang, text in TEXTS.items():
            add(f"{n} {text} {n}", lang, ("train", "dev", "test", None)[n], f"g{n}")
    for lang, text in TEXTS.items():
        add(f"1 {text}  1".upper(), lang, "train", f"h{lang}")  # a duplicate in a group of its own
        add(f"2 {text} 2!", lang, None, None)
        add(text, None, None, None)
        add(TEXTS["hin_Deva"] if lang != "hin_Deva" else TEXTS["swh_Latn"], lang, "train", None)
    for text in ODD:
        add(text, "eng_Latn", "train", None)
        add(text, None, None, None)
    return pl.DataFrame([{**dict.fromkeys(SCHEMA), **row, "source": "made", "license": "CC0"} for row in found], SCHEMA)


@pytest.fixture(params=parts.names("steps"))
def step(request: pytest.FixtureRequest) -> ModuleType:
    return parts.load("steps", request.param).module


@pytest.fixture
def knobs(step: ModuleType, tmp_path: Path) -> dict[str, object]:
    """Values for the knobs that must be given: evaluation files for paths."""
    file = tmp_path / "bench.jsonl"
    file.write_text(pl.DataFrame({"text": ["1 " + TEXTS["swh_Latn"] + " 1", "unseen"]}).write_ndjson(), "utf-8")
    given: dict[str, object] = {}
    for name, knob in parts.Part("steps", step.__name__, step).knobs.items():
        if knob.required:
            many = typing.get_origin(knob.type) is list
            assert knob.type is Path or many, f"say in this fixture what the required knob '{name}' may be"
            given[name] = [file] if many else file
    return given


def run(step: ModuleType, knobs: dict[str, object], shards: list[pl.DataFrame]) -> pl.DataFrame:
    """The smallest engine that keeps the contract of docs/design.md."""

    def call(name: str, *args: object) -> pl.DataFrame:
        function = getattr(step, name)
        wanted = inspect.signature(function).parameters
        filled = {**knobs, "langs": LANGS}
        return function(*args, **{k: v for k, v in filled.items() if k in wanted})

    if not hasattr(step, "summarise"):
        return pl.concat([call("apply", shard) for shard in shards])
    by_shard = getattr(step, "BY_SHARD", False)
    told = [call("summarise", shard) for shard in shards]
    if by_shard:
        told = [frame.with_columns(shard=pl.lit(i, pl.Int64)) for i, frame in enumerate(told)]
    summaries = pl.concat(told)
    if "bucket" in summaries.columns and summaries.height:
        pieces = summaries.partition_by("bucket", as_dict=True)
        decision = pl.concat([call("decide", pieces[key]) for key in sorted(pieces)])
    else:
        decision = call("decide", summaries)
    if hasattr(step, "learned"):
        assert isinstance(call("learned", decision), pl.DataFrame)
    if not by_shard:
        return pl.concat([call("apply", shard, decision) for shard in shards])
    own = [decision.filter(pl.col("shard") == i).drop("shard") for i in range(len(shards))]
    return pl.concat([call("apply", shard, piece) for shard, piece in zip(shards, own, strict=True)])


MAY_CHANGE = {"text", "lang", "group", "drop"}


def test_remarks_are_sentences(step: ModuleType, knobs: dict[str, object]) -> None:
    if not hasattr(step, "remarks"):
        pytest.skip("this step has no remarks")
    given = {k: v for k, v in knobs.items() if k in inspect.signature(step.remarks).parameters}
    for remark in step.remarks(LANGS, **given):
        assert isinstance(remark, str) and remark.strip() and "\n" not in remark


def test_describes_itself(step: ModuleType) -> None:
    assert (step.__doc__ or "").split("\n")[0].endswith(".")
    documented = "".join(
        inspect.getdoc(getattr(step, f)) or "" for f in ("apply", "summarise", "decide") if hasattr(step, f)
    )
    for name in parts.Part("steps", step.__name__, step).knobs:
        assert f"{name}:" in documented, f"the docstring does not explain the knob '{name}'"


def test_same_ids_same_order_no_column_harmed(step: ModuleType, knobs: dict[str, object]) -> None:
    before = rows().with_columns(extra=pl.int_range(pl.len()))
    after = run(step, knobs, [before])
    assert after["id"].to_list() == before["id"].to_list()
    assert after.columns == before.columns
    untouched = [name for name in before.columns if name not in MAY_CHANGE]
    assert after.select(untouched).equals(before.select(untouched))
    for name in MAY_CHANGE:
        assert after.schema[name] == pl.String
    if not getattr(step, "REWRITES", False):
        assert after["text"].equals(before["text"])


def test_reasons_are_sentences_without_the_text(step: ModuleType, knobs: dict[str, object]) -> None:
    after = run(step, knobs, [rows()])
    reasons = after.filter(pl.col("drop").is_not_null())
    rewrites = getattr(step, "REWRITES", False)
    assert reasons.height or rewrites, "the rows are made so that every step but a rewrite drops some"
    for reason in reasons["drop"]:
        assert reason.strip() and "\n" not in reason
        assert not any(text[:20] in reason for text in TEXTS.values())


def test_a_row_already_dropped_keeps_its_reason(step: ModuleType, knobs: dict[str, object]) -> None:
    before = rows().with_columns(drop=pl.lit("earlier"))
    assert set(run(step, knobs, [before])["drop"]) == {"earlier"}


def test_works_without_a_drop_column(step: ModuleType, knobs: dict[str, object]) -> None:
    assert run(step, knobs, [rows().drop("drop")]).schema["drop"] == pl.String


def test_empty_batch(step: ModuleType, knobs: dict[str, object]) -> None:
    empty = rows().clear()
    assert run(step, knobs, [empty]).schema == empty.schema
    some = rows()
    assert run(step, knobs, [empty, some, empty]).equals(run(step, knobs, [some]))


def test_one_row(step: ModuleType, knobs: dict[str, object]) -> None:
    one = rows().head(1).with_columns(text=pl.lit(TEXTS["eng_Latn"]))
    assert run(step, knobs, [one])["drop"].to_list() == [None]


@pytest.mark.parametrize("lang", LANGS)
def test_one_language_only(step: ModuleType, knobs: dict[str, object], lang: str) -> None:
    before = rows().filter(pl.col("lang") == lang)
    assert run(step, knobs, [before])["id"].equals(before["id"])


@pytest.mark.parametrize("seed", range(3))
def test_any_cut_and_any_order_give_the_same(step: ModuleType, knobs: dict[str, object], seed: int) -> None:
    before = rows()
    whole = run(step, knobs, [before]).sort("id")
    rng = random.Random(seed)
    mixed = before[rng.sample(range(before.height), before.height)] if seed else before
    cuts = sorted({0, before.height, *(rng.randrange(before.height) for _ in range(1 + 4 * seed))})
    shards = [mixed[a:b] for a, b in pairwise(cuts)]
    assert run(step, knobs, shards).sort("id").equals(whole)


def test_does_not_change_its_input(step: ModuleType, knobs: dict[str, object]) -> None:
    before = rows()
    run(step, knobs, [before])
    assert before.equals(rows())


def test_a_rewrite_is_idempotent(step: ModuleType, knobs: dict[str, object]) -> None:
    if not getattr(step, "REWRITES", False):
        pytest.skip("this step does not rewrite text")
    once = run(step, knobs, [rows()])
    assert run(step, knobs, [once]).equals(once)


def test_a_rewrite_works_at_prediction_on_one_text_alone(step: ModuleType, knobs: dict[str, object]) -> None:
    if not getattr(step, "REWRITES", False):
        pytest.skip("this step does not rewrite text")
    more = [None] if hasattr(step, "decide") else []
    wanted = {**knobs, "langs": LANGS}
    given = {k: v for k, v in wanted.items() if k in inspect.signature(step.apply).parameters}
    texts = rows().filter(pl.col("text").is_not_null() & pl.col("lang").is_not_null()).select("id", "lang", "text")
    together = step.apply(texts, *more, **given)
    alone = [step.apply(one, *more, **given) for one in texts.iter_slices(1)]
    assert pl.concat(alone).equals(together)
