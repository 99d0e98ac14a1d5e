"""prepare: good rows go on, every other row lies on disk with its reason; how shards are cut changes nothing."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from isogloss.core import files
from isogloss.core.corpus import Corpus
from isogloss.core.engine import Engine, Local
from isogloss.core.errors import DataError, IsoglossError, Refused, StaleError
from isogloss.core.run import Run
from isogloss.core.say import Say
from isogloss.stages import chain, examples
from isogloss.stages.preparing import sample
from isogloss.stages.preparing.walk import NOT_SHOWN
from places import LANGS, PIECES, Place, Said, corpus_rows, write_jsonl


class Heard(Say):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    note = line


def prepare(place: Place, say: Say | None = None, engine: Engine | None = None, **how: Any) -> Run:
    return chain.advance(place.recipe, "prepare", runs=place.runs, say=say, engine=engine or Local(1), **how)[1]


def corpus(run: Run) -> pl.DataFrame:
    return Corpus(run.path("corpus")).frame()


def dropped(run: Run) -> pl.DataFrame:
    frames = [files.read_parquet(p) for p in sorted(run.path("dropped").glob("*"))]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(("id", "step", "reason"), pl.String))


def dirty_rows() -> list[dict[str, Any]]:
    """Rows of our corpus with duplicates, near-duplicates, wrong languages and rows without a language."""
    rows: list[dict[str, Any]] = corpus_rows()
    shaken = random.Random(0)
    for i, row in enumerate(shaken.sample(rows, 40)):
        changed = {**row, "id": f"extra-{i}", "group": None}
        changed["text"] = [row["text"].upper(), row["text"] + "!", row["text"], "\u00a0" + row["text"]][i % 4]
        changed["lang"] = [row["lang"], None, "eng_Latn"][i % 3]
        rows.append(changed)
    rows += [{**rows[3], "text": "other"}, {**rows[9], "id": "empty", "text": "\ufeff \u200b"}]
    shaken.shuffle(rows)
    return rows


def test_neither_shards_nor_workers_change_the_corpus(place: Place) -> None:
    write_jsonl(place.folder / "raw.jsonl", dirty_rows())
    write_jsonl(place.folder / "bench.jsonl", [{"text": row["text"]} for row in corpus_rows()[:20]])
    steps = [
        "standardise",
        "langid",
        {"use": "dedup", "threshold": 0.7},
        {"use": "decontaminate", "against": ["bench.jsonl"]},
    ]
    found = []
    for n_bytes, workers in ((4_000_000, 1), (10_000, 1), (10_000, 2)):
        place = place.with_(name=f"r{len(found)}", data={"steps": steps, "shard_bytes": n_bytes})
        run = prepare(place, engine=Local(workers))
        ledger = files.read_parquet(run.path("ledger.parquet"))
        found.append(
            [
                corpus(run),
                dropped(run).sort("origin", "step"),
                ledger.sort("step", "lang", "source"),
                files.read_parquet(run.path("counts.parquet")),
            ]
        )
    assert found[0][0].height > 100 and found[0][1]["step"].n_unique() >= 5
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert a.equals(b)


def test_the_ledger_adds_up_and_every_row_is_somewhere(place: Place) -> None:
    rows = dirty_rows()
    write_jsonl(place.folder / "raw.jsonl", rows)
    run = prepare(place.with_(data={"steps": ["standardise", "langid", "dedup"]}))
    kept, gone = corpus(run), dropped(run)
    assert kept.height + gone.height == len(rows)
    assert gone["reason"].is_not_null().all() and gone["origin"].str.contains(r"^raw\.jsonl:\d+$").all()
    assert {*kept["origin"], *gone["origin"]} == {f"raw.jsonl:{i + 1}" for i in range(len(rows))}
    ledger = files.read_parquet(run.path("ledger.parquet"))
    assert (ledger["n_in"] - ledger["n_dropped"] == ledger["n_out"]).all()
    assert ledger["n_dropped"].sum() == gone.height
    assert ledger.filter(pl.col("step") == "split")["n_out"].sum() == kept.height
    groups = kept.filter(pl.col("group").is_not_null()).group_by("group").agg(pl.col("split").n_unique())
    assert (groups["split"] == 1).all()


def test_bad_rows_are_set_aside_counted_and_shown(place: Place) -> None:
    good = corpus_rows()
    bad = [
        {**good[0], "id": "b0", "text": ""},
        {**good[1], "id": "b1", "text": "a\x00b"},
        {**good[2], "id": "b2", "label": None},
        {**good[3], "id": "b3", "lang": "klingonese"},
        {**good[4], "id": "b4", "lang": "deu"},
        {**good[5], "id": good[6]["id"]},
        {**good[7], "id": good[5]["id"]},
    ]
    path = write_jsonl(place.folder / "raw.jsonl", [*good, *bad])
    with path.open("ab") as handle:
        handle.write(b'{"text": "caf\xe9"}\n{"text": \n')
    say = Heard()
    run = prepare(place, say)
    assert corpus(run).height == len(good)
    said = dict(zip(dropped(run)["origin"], dropped(run)["reason"], strict=True))
    n = len(good)
    assert said[f"raw.jsonl:{n + 4}"] == "unknown language 'klingonese'"
    assert said[f"raw.jsonl:{n + 6}"].startswith(f"duplicated id '{good[6]['id']}': first at raw.jsonl:7")
    assert len(said) == 9
    told = "\n".join(say.lines)
    for words in ("1 row set aside in read: empty text", "2 rows set aside in unique: duplicated id", "broken JSON"):
        assert words in told
    facts = run.require("prepare")["facts"]
    assert (facts["n_rows"], facts["n_dropped"]) == (n, 9)


def test_what_codes_were_read_as_is_said_once_each_and_kept(place: Place) -> None:
    rows = [{**row, "lang": {"eng_Latn": "en-US", "swh_Latn": "sw"}.get(row["lang"], "sr")} for row in corpus_rows()]
    write_jsonl(place.folder / "raw.jsonl", rows)
    say = Heard()
    run = prepare(place.with_(langs="all"), say)
    notes = [line for line in say.lines if "is read as srp_Cyrl" in line]
    assert len(notes) == 1
    assert notes[0] in run.require("prepare")["facts"]["notes"]
    assert set(corpus(run).filter(pl.col("lang") == "eng_Latn")["variety"]) == {"US"}


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet", "json", "folder", "pattern"])
def test_every_form_of_input_gives_the_same_rows(place: Place, format: str) -> None:
    rows = corpus_rows(parallel=False)
    table = pl.DataFrame(rows)
    expected = corpus(prepare(place.with_(name="x", data={"raw": [str(write_jsonl(place.folder / "b.jsonl", rows))]})))
    raw: Any = f"a.{format}"
    if format == "csv":
        table.write_csv(place.folder / raw)
    elif format == "tsv":
        table.write_csv(place.folder / raw, separator="\t", quote_style="never")
    elif format == "parquet":
        table.with_columns(pl.col("label").cast(pl.Categorical), nothing=pl.lit(None)).write_parquet(place.folder / raw)
    elif format == "json":
        (place.folder / raw).write_text(json.dumps(rows))
    else:
        for row in rows:
            path = place.folder / "texts" / row["lang"] / row["label"] / f"{row['id']}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row["text"].encode() + b"\r\n")
        raw = "texts/{lang}/{label}/{id}.txt"
        if format == "folder":
            kinds = ((lang, label) for lang in LANGS for label in ("bill", "drug", "visit"))
            raw = None
            value = [{"path": f"texts/{lang}/{label}", "lang": lang, "label": label} for lang, label in kinds]
    run = prepare(place.with_(data={"raw": [raw] if raw else value}))
    columns = ["lang", "label", "text"] if format == "folder" else ["id", "lang", "label", "text", "split"]
    assert corpus(run).select(columns).sort(columns).equals(expected.select(columns).sort(columns))


def test_languages_that_nobody_stated_are_detected(place: Place) -> None:
    rows = corpus_rows()
    write_jsonl(place.folder / "raw.jsonl", [{**row, "lang": None} for row in rows])
    found = corpus(prepare(place.with_(data={"steps": ["langid"]})))
    truth = {row["id"]: row["lang"] for row in rows}
    right = sum(truth[name] == lang for name, lang in found.select("id", "lang").rows())
    assert right / len(rows) > 0.9
    with pytest.raises(DataError, match=r"no usable row in the raw data: no language \(216 rows\)"):
        prepare(place.with_(name="without", data={"steps": []}))


def test_ten_thousand_tiny_files_are_quick_and_few_shards(place: Place) -> None:
    folder = place.folder / "many"
    folder.mkdir()
    openers, _, closings = PIECES["eng_Latn"]
    for i in range(10_000):
        (folder / f"{i:05}.txt").write_text(f"{openers[i % 3]} {i} {closings[i % 2]}")
    start = time.monotonic()
    raw = [{"path": "many", "lang": "en", "label": "x"}]
    run = prepare(place.with_(langs=["en"], data={"raw": raw}))
    assert corpus(run).height == 10_000
    assert len(list(run.path("corpus").iterdir())) <= 3
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.unlink(), "there is no raw input raw.jsonl"),
        (lambda p: p.write_text(""), "no usable row in the raw data: it is empty"),
        (lambda p: p.write_text("not json\n"), "no usable row in the raw data: broken JSON (1 row)"),
        (lambda p: (p.unlink(), p.mkdir()), "the folder raw.jsonl has no file"),
        (lambda p: p.write_text('{"body": "x", "lang": "en", "label": "y"}'), "no text (1 row)"),
    ],
)
def test_input_that_cannot_be_used(place: Place, make: Callable[[Path], Any], words: str) -> None:
    make(place.folder / "raw.jsonl")
    with pytest.raises(DataError) as caught:
        prepare(place)
    assert words in str(caught.value)


def test_a_file_that_is_named_twice(place: Place) -> None:
    (place.folder / "link.jsonl").symlink_to(place.folder / "raw.jsonl")
    with pytest.raises(DataError, match=r"data\.raw names raw\.jsonl 2 times: raw\.jsonl, link\.jsonl"):
        prepare(place.with_(data={"raw": ["raw.jsonl", "link.jsonl"]}))


def test_fresh_stale_again(place: Place) -> None:
    say = Heard()
    run = prepare(place)
    before = run.require("prepare")["when"]
    prepare(place, say)
    assert say.lines == ["prepare   fresh, nothing to do"]
    changed = place.with_(data={"split": {"dev": 0.2, "test": 0.2}})
    with pytest.raises(StaleError, match=r"data\.split\.test: 0\.3 → 0\.2"):
        prepare(changed)
    assert run.require("prepare")["when"] == before
    assert "test = 0.3" in run.path("recipe.toml").read_text(), "a refused recipe must not replace the run's"
    prepare(changed, again=True)
    assert "test = 0.2" in run.path("recipe.toml").read_text()
    write_jsonl(place.folder / "raw.jsonl", corpus_rows()[:-1])
    with pytest.raises(StaleError, match=r"inputs\.raw\.jsonl has other contents"):
        prepare(changed)


def test_a_damaged_shard_of_an_unfinished_run_does_not_stay_in_the_way(place: Place, monkeypatch: Any) -> None:
    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    place = place.with_(data={"steps": ["dedup"], "shard_bytes": 10_000})
    with monkeypatch.context() as patch:
        patch.setattr("isogloss.stages.prepare._assemble", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(place)
    (shard, *_) = sorted(place.run.glob("work/*/*split/*.parquet"))
    shard.write_bytes(b"PAR1")
    with pytest.raises(IsoglossError, match="is damaged") as caught:
        prepare(place)
    assert caught.value.exit_code == 2
    assert corpus(prepare(place)).height > 100


def test_finished_shards_are_not_done_again(place: Place, monkeypatch: Any) -> None:
    place = place.with_(data={"steps": ["standardise"], "shard_bytes": 10_000})
    done: list[Path] = []
    write, left = files.write_parquet, [0]

    def watched(path: Path, frame: pl.DataFrame) -> None:
        write(path, frame)
        done.append(path)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_parquet", watched)
    for n_files in (3, 5, 4, 7):
        left[0] = n_files
        with pytest.raises(KeyboardInterrupt):
            prepare(place)
    done.clear()
    prepare(place)
    again = [path for path in done if "00-read" in str(path) and path.suffix == ".parquet"]
    assert not again
    assert not (place.run / "work").exists()


def test_what_is_left_of_work_goes_when_it_is_fresh(place: Place) -> None:
    run = prepare(place)
    (run.path("work") / "x").mkdir(parents=True)
    prepare(place)
    assert not run.path("work").exists()


def test_a_gate_at_prepare(place: Place, cli: Callable[..., Said]) -> None:
    rows: list[dict[str, Any]] = corpus_rows()
    write_jsonl(
        place.folder / "raw.jsonl", [{**row, "label": None if row["lang"] == "swh_Latn" else "x"} for row in rows]
    )
    place.with_(gate=[{"at": "prepare", "every_lang": {"lost": "<= 0.2"}}])
    said = cli("prepare", "recipe.toml")
    assert said.code == 1 and "swh_Latn" in said.err and "eng_Latn: lost" not in said.err


@pytest.mark.parametrize("langs", ["all", list(LANGS)])
def test_a_language_that_lost_every_row_is_named_and_judged_also_where_all_are_meant(place: Place, langs: Any) -> None:
    rows = [{**row, "label": None if row["lang"] == "swh_Latn" else "x"} for row in corpus_rows()]
    write_jsonl(place.folder / "raw.jsonl", rows)
    heard = Heard()
    with pytest.raises(Refused, match="swh_Latn"):
        prepare(place.with_(langs=langs, gate=[{"at": "prepare", "every_lang": {"lost": "<= 0.5"}}]), heard)
    assert any(line.startswith("no rows at all for swh_Latn") for line in heard.lines)
    assert any(line.startswith("swh_Latn lost 100%") for line in heard.lines)


def test_a_step_that_breaks_the_contract_is_named(place: Place, tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "mypack"
    package.mkdir()
    (package / "badstep.py").write_text(
        '"""Loses rows."""\ndef apply(batch):\n    return batch[:-1]\n', encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(IsoglossError, match=r"the step 'mypack\.badstep' changed the rows of its batch"):
        prepare(place.with_(data={"steps": ["mypack.badstep"]}))


# -- provenance, the card, samples ------------------------------------------------------------------------------


def test_provenance_is_carried_and_the_card_says_it(place: Place) -> None:
    rows: list[dict[str, Any]] = corpus_rows()
    for i, row in enumerate(rows):
        row["made"] = ["original", "Translation", None][i % 3]
        row["licence"] = "CC0" if i % 2 else None
    write_jsonl(place.folder / "raw.jsonl", rows)
    raw = [{"path": "raw.jsonl", "source": "the *clinic* | <b>", "collected": "2024-01 to 2024-06"}]
    columns = {"license": "licence", "original_or_translated": "made"}
    run = prepare(place.with_(data={"raw": raw, "columns": columns, "originals": "all", "steps": ["standardise"]}))
    found = corpus(run)
    assert found["collected"].unique().to_list() == ["2024-01 to 2024-06"]
    counts = found["original_or_translated"].value_counts().sort("original_or_translated").rows()
    assert counts == [(None, 72), ("original", 72), ("translated", 72)]
    card = run.path("CARD.md").read_text()
    assert "| the *clinic* \\| &lt;b> | CC0 | 2024-01 to 2024-06 | original |" in card
    assert "**No licence is stated for 108 rows**" in card
    assert "| eng_Latn English | " in card and "| original | translated | not stated |" in card.replace("  ", " ")
    for words in (
        "## What was done, in order",
        "**standardise**",
        "`form = NFC`",
        "isogloss prepare recipe.toml",
        "raw.jsonl",
    ):
        assert words in card
    sources = files.read_parquet(run.path("sources.parquet"))
    assert sources["n"].sum() == 216 and set(sources["license"]) == {"CC0", None}


def test_originals_are_kept_and_the_ledger_says_so(place: Place) -> None:
    rows: list[dict[str, Any]] = corpus_rows(("eng_Latn", "spa_Latn"))
    twins = [{**row, "id": f"t{i}", "text": row["text"] + " (again)"} for i, row in enumerate(rows[:20])]
    marked = [{**r, "original_or_translated": "original"} for r in rows]
    marked += [{**r, "original_or_translated": "translated"} for r in twins]
    random.Random(1).shuffle(marked)
    write_jsonl(place.folder / "raw.jsonl", marked)
    place = place.with_(langs=["eng_Latn", "spa_Latn"])
    run = prepare(place.with_(data={"shard_bytes": 10_000}))
    assert {*dropped(run)["id"]} == {f"t{i}" for i in range(20)}
    ledger = files.read_parquet(run.path("ledger.parquet")).filter(pl.col("step") == "originals")
    assert (
        ledger.select("lang", "n_dropped").rows() == [("eng_Latn", 20), ("spa_Latn", 0)]
        or ledger["n_dropped"].sum() == 20
    )
    assert "Translated rows whose content is also there as an original" in run.path("CARD.md").read_text()
    kept = prepare(place.with_(name="all", data={"originals": "all"}))
    assert dropped(kept).is_empty()
    without = prepare(place.with_(name="none", data={"columns": {"original_or_translated": "no such column"}}))
    assert "originals" not in set(files.read_parquet(without.path("ledger.parquet"))["step"])


def test_what_a_provenance_says_must_be_known(place: Place) -> None:
    rows = [{**row, "original_or_translated": "who knows"} for row in corpus_rows()]
    write_jsonl(
        place.folder / "raw.jsonl",
        [*rows, *({**r, "id": r["id"] + "x", "original_or_translated": "Unknown"} for r in rows)],
    )
    run = prepare(place)
    assert corpus(run)["original_or_translated"].null_count() == 216
    assert set(dropped(run)["reason"]) == {"original_or_translated is 'who knows'; known: original, translated"}


def test_damaged_and_empty_files_cost_what_is_lost_and_the_rest_goes_on(place: Place) -> None:
    body = gzip.compress((place.folder / "raw.jsonl").read_bytes())
    (place.folder / "cut.jsonl.gz").write_bytes(body[: len(body) // 2])
    (place.folder / "raw.jsonl").unlink()
    write_jsonl(place.folder / "good.jsonl", [{**row, "id": "g" + row["id"]} for row in corpus_rows()])
    for name in ("empty.jsonl", "empty.parquet", "empty.csv.gz"):
        (place.folder / name).touch()
    (place.folder / "no.parquet").write_bytes(b"PAR1 this is none")
    say = Heard()
    run = prepare(
        place.with_(
            data={
                "raw": ["cut.jsonl.gz", "good.jsonl", "no.parquet", *("empty.jsonl", "empty.parquet", "empty.csv.gz")]
            }
        ),
        say,
    )
    found = corpus(run)
    assert found.filter(pl.col("source") == "good.jsonl").height == 216
    assert 20 < found.filter(pl.col("source") == "cut.jsonl.gz").height < 216
    said = dict(dropped(run).select("origin", "reason").iter_rows())
    cut = found.filter(pl.col("source") == "cut.jsonl.gz").height
    assert said[f"cut.jsonl.gz:{cut + 1}"] == "the gzip file is cut here, and what follows is lost"
    assert said["no.parquet:1"].startswith("the file is damaged: it cannot be read as Parquet")
    assert any(line.startswith("3 files have no row: empty.jsonl") for line in say.lines)


def test_pages_of_a_site_become_text_and_the_card_shows_what_was_learned(place: Place) -> None:
    pytest.importorskip("trafilatura", reason="the extra `text` is not installed")
    for i in range(30):
        page = f"<html><body><nav><a>Home</a></nav><p>Habari za leo {i} kutoka kijijini kwetu.</p><p>Mvua ilinyesha {i}.</p>"
        path = place.folder / "site" / f"{i:02}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(page + "<p>Shiriki habari hii na marafiki zako</p><footer>© 2025</footer></body></html>")
    raw = [{"path": "site", "lang": "swh_Latn", "label": "news"}]
    run = prepare(place.with_(langs=["swh_Latn"], data={"raw": raw, "steps": ["boilerplate"], "shard_bytes": 10_000}))
    texts = corpus(run).sort("origin")["text"].to_list()
    assert texts == [f"Habari za leo {i} kutoka kijijini kwetu.\nMvua ilinyesha {i}." for i in range(30)]
    assert set(corpus(run)["source"]) == {"site"}
    learned = files.read_parquet(run.path("learned", "boilerplate.parquet"))
    assert learned.row(0)[:3] == ("site", 30, 15)
    assert "### What boilerplate learned from the data" in run.path("CARD.md").read_text()


def test_samples_show_what_each_step_did_whatever_the_shards(place: Place) -> None:
    write_jsonl(place.folder / "raw.jsonl", dirty_rows())
    frames = []
    for n_bytes in (4_000_000, 10_000):
        data = {"steps": ["standardise", "langid", "dedup"], "shard_bytes": n_bytes}
        run = prepare(place.with_(name=f"s{n_bytes}", data=data))
        frames.append(files.read_parquet(run.path("samples.parquet")).sort("step", "what", "lang", "id"))
    assert frames[0].equals(frames[1])
    by_kind = frames[0].group_by("step", "what", "lang").len()
    assert {"standardise", "dedup", "unique"} <= set(by_kind["step"])
    assert frames[0].filter(pl.col("what") == "changed")["after"].str.len_chars().max() <= 302


def test_a_step_that_says_it_is_private_shows_no_text_from_before(
    place: Place, tmp_path: Path, monkeypatch: Any
) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "hide.py").write_text(
        '"""Hides."""\nimport polars as pl\nPRIVATE = True\ndef apply(batch):\n    return batch.with_columns(text=pl.lit("[hidden]"))\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = prepare(place.with_(data={"steps": ["mine.hide"]}))
    samples = files.read_parquet(run.path("samples.parquet"))
    assert set(samples["before"]) == {""} and set(samples["after"]) == {"[hidden]"}


def test_samples_of_steps_before_a_private_one_show_no_text(place: Place) -> None:
    rows = [
        {**row, "text": f"\u00a0{row['text']}\u200b anna{i}@mail.org", "url": "x"}
        for i, row in enumerate(corpus_rows())
    ]
    rows += [{**row, "id": f"again-{i}"} for i, row in enumerate(rows[:9])]
    write_jsonl(place.folder / "raw.jsonl", [*rows, rows[0]])
    said = Heard()
    for steps in (["standardise", "pii"], ["dedup", "standardise", "pii"], ["standardise", "dedup", "pii"]):
        run = prepare(place.with_(name="-".join(steps), data={"steps": steps, "keep": ["url"]}), said)
        samples = files.read_parquet(run.path("samples.parquet"))
        shown = samples.filter(pl.col("what") == "changed", pl.col("step") == "pii")
        assert shown.height and set(shown["before"]) == {""} and shown["after"].str.contains(r"\[EMAIL\]").all()
        rest = samples.filter(pl.col("step") != "pii")
        assert {"unique", "standardise"} <= set(rest["step"])
        assert set(rest["before"]) == {NOT_SHOWN} and set(rest["after"]) <= {NOT_SHOWN, ""}
    assert "pii: only `text` is read; ids and url (data.keep) stay as they are" in said.lines
    shown = files.read_parquet(
        prepare(place.with_(name="after", data={"steps": ["pii", "standardise", "dedup"]})).path("samples.parquet")
    )
    later = shown.filter(pl.col("step").is_in(["standardise", "dedup"]))
    assert later.height and NOT_SHOWN not in [*later["before"], *later["after"]]
    assert not later["before"].str.contains("@").any()


# Texts that a step changes beyond recognition, one by step, and an evaluation text that no step touches.
REWRITTEN = {
    "pii": "anna@mail.org, +49 30 901820, 192.168.10.7",
    "values": "12.345,67 kg und 3. April 2025",
    "standardise": "Ã¤Ã¶Ã¼ Ã© Ã\x9f",
    "": "Nothing in this sentence is rewritten by any step.",
}


@pytest.mark.parametrize("order", [["standardise", "values", "pii"], ["pii", "values", "standardise"]])
def test_an_evaluation_text_is_found_though_steps_rewrote_the_row(place: Place, order: list[str]) -> None:
    rows = corpus_rows()
    hidden = [
        {"id": f"h{i}", "text": text, "lang": "deu_Latn", "label": "bill", "split": "train", "group": f"h{i}"}
        for i, text in enumerate(REWRITTEN.values())
    ]
    other = {**rows[0], "id": "of h0", "lang": "eng_Latn", "split": "train", "group": "h0"}
    write_jsonl(place.folder / "raw.jsonl", [*rows, *hidden, other])
    write_jsonl(place.folder / "bench.jsonl", [{"text": text} for text in REWRITTEN.values()])
    search = {"use": "decontaminate", "against": ["bench.jsonl"]}
    langs = [*LANGS, "deu_Latn"]
    run = prepare(place.with_(langs=langs, data={"steps": [*order, search]}))
    found = {row["id"]: row for row in dropped(run).filter(pl.col("step") == "decontaminate").iter_rows(named=True)}
    assert set(found) == {"h0", "h1", "h2", "h3", "of h0"}
    for i, step in enumerate(REWRITTEN):
        told = " before it was rewritten" if step else ""
        assert found[f"h{i}"]["reason"] == f"found in bench.jsonl{told} (verbatim)"
        assert (found[f"h{i}"]["text"] == REWRITTEN[step]) == (not step)
    assert "anna@" not in json.dumps(list(found.values())), "what pii hid stays hidden"
    assert "translation of a row found in bench.jsonl" in found["of h0"]["reason"]
    assert not {"_earlier"} & set(corpus(run).columns)
    clean = prepare(place.with_(name="none", langs=langs, data={"steps": order}))
    assert corpus(clean).filter(pl.col("id").is_in(["h0", "h1", "h2", "h3"])).height == 4


def test_what_a_step_took_out_of_a_row_is_no_evaluation_text_in_it(place: Place) -> None:
    rows = corpus_rows()
    story = "The river rose in the night, and in the morning the bridge to the village was gone. "
    story += "People crossed in small boats until the army brought iron parts for another one."
    away = "Seven ships left the harbour before the storm came, and only four of them were ever seen again by anyone."
    page = f"<html><body><nav><ul><li>{away}</li></ul></nav><article><p>{story}</p><p>{story[::-1]}</p></article></body></html>"
    pages = [
        {"id": f"p{i}", "text": text, "lang": "eng_Latn", "label": "bill", "split": "train"}
        for i, text in enumerate([page, page.replace("bridge", "tower")])
    ]
    write_jsonl(place.folder / "raw.jsonl", [*rows, *pages])
    search = {"use": "decontaminate", "against": ["bench.jsonl"]}
    for texts, gone in (([away], set()), ([page], {"p0", "p1"}), ([away, story], {"p0", "p1"})):
        write_jsonl(place.folder / "bench.jsonl", [{"text": text} for text in texts])
        run = prepare(place.with_(name=f"b{len(texts)}{len(gone)}", data={"steps": ["boilerplate", search]}))
        assert set(dropped(run).filter(pl.col("step") == "decontaminate")["id"]) == gone


def test_translations_may_share_an_id(place: Place) -> None:
    """Parallel data often numbers contents: (id, language) says which row it is, and the id which content."""
    rows = [{k: v for k, v in row.items() if k not in ("group", "split")} for row in corpus_rows()]
    n: dict[str, int] = {}
    for row in rows:
        n[row["lang"]] = n.get(row["lang"], -1) + 1
        row["id"] = str(n[row["lang"]])
    write_jsonl(place.folder / "raw.jsonl", [*rows, {**rows[0], "text": "said again"}, {**rows[0], "id": "alone"}])
    said = Heard()
    run = prepare(place, said)
    gone = dropped(run)
    assert gone["reason"].to_list() == ["duplicated id '0': first at raw.jsonl:1"] and gone["id"].to_list() == ["0"]
    kept = corpus(run)
    assert kept.height == len(rows) + 1 and kept["id"].n_unique() == kept.height
    tied = kept.filter(pl.col("id") != "alone")
    assert (tied["id"] == tied["group"] + ":" + tied["lang"]).all()
    assert tied.group_by("group").agg(pl.col("split").n_unique(), pl.col("lang").n_unique())["split"].max() == 1
    assert kept.filter(pl.col("id") == "alone")["group"].item() is None
    assert next(line for line in said.lines if "share their id" in line).startswith(f"{len(rows):,} rows")
    assert "What unique learned" in run.path("CARD.md").read_text("utf-8")
    ends = [{**row, "split": split} for split in ("train", "test") for row in rows if row["lang"] != "eng_Latn"]
    write_jsonl(place.folder / "raw.jsonl", [*ends, {**rows[0], "id": "0", "split": "test"}, ends[0]])
    parted = corpus(prepare(place.with_(name="splits"), said))
    assert parted.height == len(ends) + 1 and parted["id"].n_unique() == parted.height, "each split numbers anew"
    assert (parted["id"] == parted["group"] + ":" + parted["lang"]).all()
    assert (parted["group"].str.split(":").list.last() == parted["split"]).all()
    write_jsonl(place.folder / "raw.jsonl", [{**row, "group": f"g{row['id']}"} for row in rows])
    grouped = corpus(prepare(place.with_(name="grouped")))
    assert set(grouped["group"]) == {f"g{row['id']}" for row in rows}, "a group that is given stays"


@pytest.mark.parametrize("name", ["a-17", "b: 2 (x)", "it's of two", "c'1;", "d\nz", "near-duplicate of e"])
@pytest.mark.parametrize("behind", ["", "; their labels differ"])
def test_whose_duplicate_a_row_is_makes_no_kind_of_its_own(name: str, behind: str) -> None:
    for reason, kind in (
        (f"exact duplicate of {name}", "exact duplicate"),
        (f"near-duplicate of {name} (Jaccard 0.83)", "near-duplicate"),
    ):
        assert sample.kind_of(reason + behind) == examples.kind(reason + behind) == kind + behind


def test_a_look_before_the_run_writes_nothing_and_says_what_each_step_would_do(
    place: Place, cli: Callable[..., Said]
) -> None:
    write_jsonl(place.folder / "raw.jsonl", dirty_rows())
    place.with_(data={"steps": ["standardise", "langid", "dedup"]})
    before = sorted(place.folder.rglob("*"))
    said = cli("prepare", "recipe.toml", "--sample", "100")
    assert said.code == 0 and sorted(place.folder.rglob("*")) == before
    flowing = " ".join(said.out.split())
    assert "100 rows, languages as equally as they allow" in flowing and "Nothing is kept" in flowing
    for words in ("standardise: ", "dedup: ", "changed, before and after", "duplicate"):
        assert words in said.out
    found = cli("prepare", "recipe.toml", "--sample", "100", "--json").json
    assert found["sampled"] == 100 and found["share_of_bytes_read"] == 1
    langs = {row["lang"]: row["n_in"] for row in found["steps"] if row["step"] == "standardise"}
    known = [n for lang, n in langs.items() if lang != "und"]  # of rows without a language there are only 13
    assert len(known) == 4 and max(known) - min(known) <= 1
    assert found["samples"] and {"before", "after", "reason"} <= set(found["samples"][0])
    assert cli("prepare", "recipe.toml", "--sample", "0").code == 2


def test_a_look_at_large_data_reads_only_the_beginning_of_every_file(place: Place) -> None:
    from isogloss.stages.prepare import look

    for name in ("a", "b"):
        rows = [{**row, "id": f"{name}{i}-{row['id']}"} for i in range(40) for row in corpus_rows()]
        write_jsonl(place.folder / f"{name}.jsonl", rows)
    made, _ = chain.target(place.with_(data={"raw": ["a.jsonl", "b.jsonl"]}).recipe, place.runs)
    found = look(made, 20, Local(1), Say())
    assert found.n_sampled == 20 and found.n_read == 1000 and 0.03 < found.share_read < 0.1
    assert set(found.ledger.filter(pl.col("step") == "unique")["source"]) <= {"a.jsonl", "b.jsonl"}
    with pytest.raises(DataError, match=r"no usable row in the 216 rows looked at: language not in the recipe \(216\)"):
        look(chain.target(place.with_(langs=["deu_Latn"]).recipe, place.runs)[0], 20, Local(1), Say())


def test_a_gate_asks_for_the_loss_in_one_step(place: Place, cli: Callable[..., Said]) -> None:
    rows: list[dict[str, Any]] = corpus_rows()
    twins = [{**row, "id": f"t{i}", "group": None} for i, row in enumerate(r for r in rows if r["lang"] == "hin_Deva")]
    write_jsonl(place.folder / "raw.jsonl", [*rows, *twins, *({**t, "id": "u" + t["id"]} for t in twins)])
    gate = [{"at": "prepare", "every_lang": {"lost.dedup": "<= 0.5", "lost.read": "<= 0", "lost": "< 0.9"}}]
    place = place.with_(data={"steps": ["dedup"]}, gate=gate)
    said = cli("prepare", "recipe.toml")
    assert said.code == 1 and "hin_Deva: lost.dedup 0.67" in said.err and "lost.read" not in said.err
    assert "hin_Deva lost 67% of its 162 rows in dedup: look" in said.err
    place.with_(gate=[{"at": "prepare", "every_lang": {"lost.dedupe": "<= 0.5"}}])
    said = cli("prepare", "recipe.toml")
    assert said.code == 2 and "did you mean 'lost.dedup'?" in said.err


def test_progress_says_rows_a_second_and_what_is_left(place: Place) -> None:
    from isogloss.core.say import Pace

    pace = Pace(time.monotonic() - 10)
    assert pace.told(50_000, 20_000_000, 0.25) == "5,000 rows/s, 2.0 MB/s, 30 s left"
    assert pace.told(50_000, 20_000_000, 1) == "5,000 rows/s, 2.0 MB/s"
    assert Pace().told(1, 1, 0.5) == ""


def test_a_rewrite_of_a_whole_source_is_applied_to_one_text_at_prediction(place: Place) -> None:
    pytest.importorskip("trafilatura", reason="the extra `text` is not installed")
    steps = ["boilerplate", "standardise", {"use": "values", "regions": ["en-GB"]}]
    place = place.with_(data={"steps": steps})
    _, run = chain.advance(place.recipe, "train", runs=place.runs, engine=Local(1))
    from isogloss.stages.model import load

    model = load(run.folder)
    page = "<html><body><nav><a>Home</a></nav><p>Please pay $1,234.50 on 03/04/2025.</p><p>Thanks to all of you.</p></body></html>"
    frame = model.frame([page, page, "a\tb"], ["en", "en-US", "en"])
    assert frame["variety"].to_list() == [None, "US", None]
    assert model.rewrite(frame)["text"].to_list() == [
        "Please pay $1234.50 on 2025-04-03.\nThanks to all of you.",
        "Please pay USD 1234.50 on 2025-03-04.\nThanks to all of you.",
        "a b",
    ]
