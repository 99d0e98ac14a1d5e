"""The command `sources`, from outside."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from places import shell, write_jsonl

ROW = {"source", "expected", "low", "high"}


def test_the_document_has_the_asked_codes_best_first(tmp_path: Path) -> None:
    said = shell(
        "sources", "--task", "tag", "--targets", "tgl,xho", "--candidates", "eng,ind,swh", "--json", cwd=tmp_path
    )
    assert said.code == 0, said.err
    assert list(said.json) == ["tgl", "xho"]
    for rows in said.json.values():
        assert sorted(row["source"] for row in rows) == ["eng", "ind", "swh"]
        assert all(set(row) >= ROW and row["low"] <= row["expected"] <= row["high"] for row in rows)
        assert [row["expected"] for row in rows] == sorted((row["expected"] for row in rows), reverse=True)
    assert said.json["tgl"][0]["source"] == "ind"


def test_it_is_quick_and_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom isogloss.cli import main\n"
        "try:\n    main(['sources', '--task', 'tag', '--targets', 'tgl,xho', '--json'])\n"
        "except SystemExit:\n    pass\n"
        "sys.exit(3 if {'torch', 'transformers', 'sklearn', 'urielplus'} & set(sys.modules) else 0)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5  # of a processor that is shared


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--targets", "xx-none"), "no language"),
        (("--targets", "und"), "no language"),
        (("--targets", ","), "--targets is empty"),
        (("--targets", "tgl", "--candidates", ""), "--candidates is empty"),
        (("--targets", "tgl", "--candidates", "tgl"), "only candidate"),
        (("--targets", "tgl", "--task", "clasify"), "did you mean 'classify'"),
        (("--targets", "tgl", "--family", "encodr"), "did you mean 'encoder'"),
        (("--targets", "tgl", "--data", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = shell("sources", *arguments, cwd=tmp_path)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_all_wrong_codes_are_named_at_once(tmp_path: Path) -> None:
    done = shell("sources", "--targets", "tgl,zzz,qqq", "--json", cwd=tmp_path)
    assert done.code == 2 and done.json["exit_code"] == 2
    assert "'zzz' is no language" in done.err and "'qqq' is no language" in done.err


def test_what_would_change_the_order_is_true(tmp_path: Path) -> None:
    """Without the heading that is named, the points of the rest put the named source first."""
    asked = ("sources", "--targets", "xho", "--candidates", "eng,swh,ind")
    rows = shell(*asked, "--json", cwd=tmp_path).json["xho"]
    left = {
        row["lang"]: row["expected"] - sum(r["points"] for r in row["reasons"] if r["feature"] == "kinship")
        for row in rows
    }
    assert rows[0]["lang"] == "swh_Latn" and max(left, key=left.__getitem__) == "eng_Latn"
    text = " ".join(shell(*asked, cwd=tmp_path).out.split())
    assert "without kinship, English would be first" in text
    kept = " ".join(shell("sources", "--targets", "npi", "--candidates", "eng,hin", cwd=tmp_path).out.split())
    assert "Hindi would be first without any single one of them" in kept


def test_macrolanguages_retired_codes_and_doubles_are_read_and_said(tmp_path: Path) -> None:
    done = shell("sources", "--targets", "xho", "--candidates", "msa,iw,heb,en,English", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert {row["source"] for row in done.json["xho"]} == {"msa", "iw", "en"}
    assert "covers more than one language" in done.err
    assert done.err.count("taken once") == 2


def test_sources_and_targets_are_called_as_each_was_asked(tmp_path: Path) -> None:
    done = shell("sources", "--targets", "iw,tgl", "--candidates", "heb,msa,en", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert {row["source"] for row in done.json["tgl"]} == {"heb", "msa", "en"}
    alone = shell("sources", "--targets", "eng,ces", "--json", cwd=tmp_path).json["ces"]
    assert all(
        row["source"] == ("eng" if row["lang"] == "eng_Latn" else row["lang"])
        for row in alone
        if row["lang"] != "ces_Latn"
    )


def test_the_target_among_the_candidates_is_left_out_and_said(tmp_path: Path) -> None:
    done = shell("sources", "--targets", "tgl", "--candidates", "tgl,eng,ind", "--json", cwd=tmp_path)
    assert done.code == 0
    assert {row["source"] for row in done.json["tgl"]} == {"eng", "ind"}
    assert "not ranked" in done.err


def test_texts_of_a_file_take_part(tmp_path: Path) -> None:
    rows = [{"text": "Ndiyabulela kakhulu mhlobo wam", "lang": "xho"}] * 30
    rows += [{"text": "Ngiyabonga kakhulu mngani wami", "lang": "zul"}] * 30
    rows += [{"text": "Thank you very much my friend", "lang": "eng"}] * 30
    write_jsonl(tmp_path / "rows.jsonl", [*rows, {"text": "no language"}])
    given = ("sources", "--targets", "xho", "--candidates", "eng,zul", "--json")
    with_texts = shell(*given, "--data", "rows.jsonl", cwd=tmp_path)
    assert with_texts.code == 0, with_texts.err
    assert with_texts.json["xho"][0]["stage"] == "prior and texts"
    assert any(reason["feature"] == "texts" for reason in with_texts.json["xho"][0]["reasons"])
    assert "1 row of rows.jsonl cannot be used" in with_texts.err
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    empty = shell(*given, "--data", "empty.jsonl", cwd=tmp_path)
    assert empty.code == 2


def test_the_page_on_screen_explains_itself(tmp_path: Path) -> None:
    done = shell("sources", "--task", "tag", "--targets", "xho", "--candidates", "eng,zul,ind", cwd=tmp_path)
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    for words in (
        "same genus",
        "Zulu (zul_Latn) over English. For it: same genus",
        "What would change this",
        "How sure:",
        "held out",
    ):
        assert words in text
    assert "Train from Zulu (zul_Latn)" in text or "may be the best (*): Zulu" in text
    assert len(text.split()) < 400  # short enough to be read aloud


def test_own_scores_are_learned_from(tmp_path: Path) -> None:
    rows = [
        {"source": source, "target": target, "score": 0.9 if source == "spa" else 0.3}
        for source in ("eng", "spa", "tha", "hin")
        for target in ("swh", "nya", "tgl", "yor")
    ]
    write_jsonl(
        tmp_path / "mine.jsonl", [*rows, {"source": "eng", "target": "swh"}, {"source": "xx-no", "target": "x"}]
    )
    given = ("sources", "--targets", "xho", "--candidates", "eng,spa,tha,hin", "--json")
    before = shell(*given, cwd=tmp_path).json["xho"]
    done = shell(*given, "--scores", "mine.jsonl", cwd=tmp_path)
    assert done.code == 0, done.err
    after = done.json["xho"]
    assert before[0]["source"] != "spa" and after[0]["source"] == "spa"
    assert after[0]["stage"] == "prior and scores"
    assert "2 rows of mine.jsonl cannot be used" in done.err and "4 sources on 4 targets" in done.err
    text = " ".join(shell(*given[:-1], "--scores", "mine.jsonl", cwd=tmp_path).out.split())
    assert "your own 4 targets in mine.jsonl" in text
    (tmp_path / "no.csv").write_text("source,score\neng,1\n", encoding="utf-8")
    none = shell(*given, "--scores", "no.csv", cwd=tmp_path)
    assert none.code == 2 and "three columns" in none.err
    (tmp_path / "sources.json").write_text('{"better": "higher", "langs": [{"lang": "swh_Latn"}]}', encoding="utf-8")
    damaged = shell(*given, "--scores", "sources.json", cwd=tmp_path)
    assert damaged.code == 2 and "not what compare-sources writes" in damaged.err
