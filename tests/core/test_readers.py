"""Readers: good rows go on, bad rows are set aside with file, line and reason, whatever the format and the dirt."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import packed as packed_files
from isogloss.core import readers
from isogloss.core.errors import DataError, PlaceError
from isogloss.core.readers import Broken, RawFile, expand, rows

TEXT = "Ḥabari, “naandika” ንግግር 中文, and more"


def read(path: Path, data: bytes | str | None = None, *, needed: str | None = None, **how: Any) -> list[Any]:
    if data is not None:
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    (raw,) = files(path, **how)
    return list(rows(raw, needed))


def files(path: Path, **how: Any) -> list[RawFile]:
    options = {"format": None, "encoding": "utf-8", "rows": None, "given": {}, **how}
    return expand(path, options.pop("shown", path.name), **options)


def packed(format: str, value: list[dict[str, str]], encoding: str = "utf-8", newline: str = "\n") -> bytes:
    """`value` as a file of `format`."""
    if format == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + newline for row in value).encode(encoding)
    if format == "json":
        return json.dumps(value, ensure_ascii=False, indent=1).replace("\n", newline).encode(encoding)
    out = io.StringIO(newline="")
    delimiter = {"csv": ",", "semicolon.csv": ";", "tsv": "\t"}[format]
    writer = csv.DictWriter(out, ["id", "text"], delimiter=delimiter, lineterminator=newline)
    writer.writeheader()
    writer.writerows(value)
    return out.getvalue().encode(encoding)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "semicolon.csv", "tsv"])
def test_encodings_marks_and_line_ends_change_nothing(tmp_path: Path, format: str, encoding: str, newline: str) -> None:
    value = [{"id": str(i), "text": f"{TEXT} {i}"} for i in range(5)]
    found = read(tmp_path / f"a.{format}", packed(format, value, encoding, newline))
    assert [row for _, row in found] == value


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_files_are_read_and_a_cut_one_is_named(tmp_path: Path, suffix: str) -> None:
    data = b"".join(b'{"text": "%d"}\n' % (i * 7919) for i in range(20_000))
    body = gzip.compress(data) if suffix == ".gz" else pa.Codec("zstd").compress(data, asbytes=True)
    assert len(read(tmp_path / f"a.jsonl{suffix}", body)) == 20_000
    *good, (line, broken) = read(tmp_path / f"a.jsonl{suffix}", body[: len(body) // 2])
    assert len(good) > 2_000 and all(row == {"text": str(i * 7919)} for i, (_, row) in enumerate(good))
    assert line == good[-1][0] + 1 and "is cut here, and what follows is lost" in broken.reason
    ((line, broken),) = read(tmp_path / f"a.jsonl{suffix}", b"no such thing")
    assert line == 1 and "this is no whole" in broken.reason


def test_a_flipped_bit_in_a_packed_file_is_named(tmp_path: Path) -> None:
    body = bytearray(gzip.compress(b"".join(b'{"text": "%d"}\n' % (i * 7919) for i in range(2_000))))
    body[-6] ^= 1  # in the checksum
    *good, (_, broken) = read(tmp_path / "a.jsonl.gz", bytes(body))
    assert len(good) == 2_000 and "its checksum does not fit" in broken.reason


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("line", [b'{"text": "a"}\n', b"x" * 100])
def test_a_decompression_bomb_is_left_unread_in_bounded_memory(
    tmp_path: Path, suffix: str, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    if b"text" in line:  # four million rows are slow to count, not to hold
        monkeypatch.setattr(packed_files, "FREE", 1_000_000)
    with pa.output_stream(path, compression="gzip" if suffix == ".gz" else "zstd") as handle:
        for _ in range(100):
            handle.write(line * (2_000_000 // len(line)))
    tracemalloc.start()
    last = None
    for last in rows(files(path)[0]):  # noqa: B007
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert last is not None and isinstance(last[1], Broken) and "a decompression bomb" in last[1].reason
    assert peak < 150e6


def test_text_that_packs_well_is_no_bomb(tmp_path: Path) -> None:
    data = b"".join(b'{"text": "the same sentence again and again, with a number: %d"}\n' % i for i in range(1_000_000))
    assert len(data) > 60_000_000
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data, 1))
    assert sum(isinstance(row, dict) for _, row in rows(files(tmp_path / "a.jsonl.gz")[0])) == 1_000_000


def test_one_undecodable_line_costs_one_row_and_says_which_byte(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", b"id,text\n1,caf\xe9\n2,ok\n")
    (line, broken), good = found
    assert line == 2 and "0xe9 at column 6" in broken.reason
    assert good == (3, {"id": "2", "text": "ok"})
    assert read(tmp_path / "a.csv", encoding="latin-1")[0] == (2, {"id": "1", "text": "café"})


def test_utf16_without_a_mark_is_guessed_and_named_not_read_as_noise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="encoding = 'utf-16-le'"):
        read(tmp_path / "a.csv", "id,text\n1,hello there\n".encode("utf-16-le"))


@pytest.mark.parametrize(
    ("body", "lines", "n_good"),
    [
        ('id,text\n1,"open\n2,ok\n3,"fine, ""yes"""\n4,"two\nlines"\n5,x,y\n6,last\n', {2, 7}, 4),
        ('id,text\n1,"open\n2,ok\n9,"last column"\n', {2}, 2),
        ('id,text\n1,5" nail\n2,"a" b\n', set(), 2),
        ("id,text\n1,a\n\n   \n2,b\n", set(), 2),
        ('id,text\n1,"never closed at the end\n', {2}, 0),
    ],
)
def test_csv_quotes(tmp_path: Path, body: str, lines: set[int], n_good: int) -> None:
    found = read(tmp_path / "a.csv", body)
    assert {line for line, row in found if isinstance(row, Broken)} == lines
    assert sum(not isinstance(row, Broken) for _, row in found) == n_good


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text("ab\",;\n' \u0915", min_size=1).filter(str.strip), st.text('xy"\n', max_size=8)), max_size=8
    ),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_any_well_formed_csv_comes_back(tmp_path_factory: Any, cells: list[tuple[str, str]], quoting: Any) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, lineterminator="\n")
    writer.writerows([("text", "label"), *cells])
    found = read(tmp_path_factory.mktemp("csv") / "a.csv", out.getvalue())
    assert [row for _, row in found] == [{"text": a, "label": b or None} for a, b in cells]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["jsonl", "json", "csv", "tsv", "text", "parquet"]), st.binary(max_size=300))
def test_no_bytes_whatever_break_a_reader(tmp_path_factory: Any, format: str, data: bytes) -> None:
    try:
        for line, row in read(tmp_path_factory.mktemp("any") / "a.bin", data, format=format):
            assert line >= 1 and isinstance(row, dict | Broken)
    except DataError as error:
        assert "a.bin" in str(error)


def test_json_is_decoded_piece_by_piece_with_the_lines_of_the_file(tmp_path: Path) -> None:
    body = '\n[\n {"text": "a"},\n {"text" "broken"},\n\n {"text": "b",\n  "n": {"x": 1}},\n 3, null, "s", [1]\n]\n'
    found = read(tmp_path / "a.json", body)
    assert [(line, isinstance(row, dict)) for line, row in found] == [
        (3, True),
        (4, False),
        (6, True),
        *[(8, False)] * 4,
    ]
    assert read(tmp_path / "a.json", '{"text": "a"}\n{"text": "b\n{"text": "c"}')[::2] == [
        (1, {"text": "a"}),
        (3, {"text": "c"}),
    ]


def test_one_broken_line_among_a_hundred_thousand(tmp_path: Path) -> None:
    lines = [b'{"text": "row %d", "label": "x"}\n' % i for i in range(100_000)]
    lines[77_776] = b'{"text": "row\n'
    start = time.monotonic()
    found = read(tmp_path / "a.jsonl", b"".join(lines))
    assert [(line, row.reason) for line, row in found if isinstance(row, Broken)] == [
        (77_777, "broken JSON: Unterminated string starting at")
    ]
    assert len(found) == 100_000
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "txt"])
def test_a_line_of_fifty_megabytes_is_one_row_set_aside_in_bounded_memory(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    long, short = {
        "jsonl": ('{"text": "', '"}\n{"text": "b"}\n'),
        "json": ('[{"text": "', '"},\n{"text": "b"}]\n'),
        "csv": ("text,label\n", ",x\nb,x\n"),
        "tsv": ("text\tlabel\n", "\tx\nb\tx\n"),
        "txt": ("", "\nb\n"),
    }[ending]
    with path.open("w") as handle:
        handle.write(long)
        for _ in range(50):
            handle.write("x" * 1_000_000)
        handle.write(short)
    tracemalloc.start()
    broken, good = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(broken[1], Broken) and len(broken[1].raw) <= readers.SHOWN
    assert good[1]["text"] == "b"
    assert peak < 250e6


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a", None], "label": [1, 2], "when": [None, None]}).write_parquet(path)
    (raw,) = files(path)
    assert list(rows(raw, "text", {"text", "label"})) == [
        (1, {"text": "a", "label": 1}),
        (2, {"text": None, "label": 2}),
    ]
    with pytest.raises(DataError, match=r"no column 'body' \(its columns: text, label, when\)"):
        read(path, needed="body")
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[: len(whole) // 2], b"PAR1" + os.urandom(200) + b"PAR1"):
        ((line, broken),) = read(path, damaged)
        assert line == 1 and broken.reason.startswith("the file is damaged: it cannot be read as Parquet")


def test_rows_before_the_damage_of_a_table_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [os.urandom(20).hex() for _ in range(40_000)]
    pl.DataFrame({"text": texts}).write_parquet(path, row_group_size=10_000)
    body = bytearray(path.read_bytes())
    middle = len(body) // 2
    body[middle : middle + 3000] = os.urandom(3000)
    *good, (line, broken) = read(path, bytes(body))
    assert 10_000 <= len(good) < 40_000 and [row["text"] for _, row in good] == texts[: len(good)]
    assert line == len(good) + 1 and f"the file is damaged, after {len(good):,} rows" in broken.reason


def test_a_table_whose_one_long_value_repeats_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 3_000, pa.int32()), pa.array(["x" * 1_500_000]))
    pq.write_table(pa.table({"text": repeated}), path)
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    assert sum(1 for _ in rows(files(path)[0])) == 3_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize(("body", "words"), [("a,b\n1,2\n", "no column 'text'"), ("text,text\n1,2\n", "two columns")])
def test_a_header_that_cannot_serve_is_named(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a.csv", body, needed="text")


@pytest.mark.parametrize(
    "ending", ["jsonl", "json", "csv", "tsv", "txt", "jsonl.gz", "csv.zst", "parquet", "arrow", "html"]
)
def test_an_empty_file_has_no_rows(tmp_path: Path, ending: str) -> None:
    assert read(tmp_path / f"a.{ending}", b"") == []
    if ending in ("jsonl", "json", "csv", "tsv", "txt"):
        assert read(tmp_path / f"a.{ending}", b"\xef\xbb\xbf") == []


def test_files_put_end_to_end_may_have_marks_inside(tmp_path: Path) -> None:
    one = b'\xef\xbb\xbf{"text": "a"}\n'
    assert [row for _, row in read(tmp_path / "a.jsonl", one * 3)] == [{"text": "a"}] * 3


@pytest.mark.parametrize("form", ["stream", "file"])
def test_arrow(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.arrow"
    table = pa.table({"text": ["a", None, "c"], "label": [1, 2, 3], "other": [{"x": 1}] * 3})
    opened = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    with opened(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    (raw,) = files(path)
    assert [row for _, row in rows(raw, "text", {"text", "label"})] == table.select(["text", "label"]).to_pylist()
    with pytest.raises(DataError, match=r"no column 'body' \(its columns: text, label, other\)"):
        list(rows(raw, "body"))
    whole = path.read_bytes()
    found = read(path, whole[: len(whole) // 2])
    assert isinstance(found[-1][1], Broken) and "cannot be read as Arrow" in found[-1][1].reason


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="windows-1251">', "cp1251"),
        ("<meta http-equiv='Content-Type' content='text/html; charset=Shift_JIS'>", "cp932"),
        ('<?xml version="1.0" encoding="euc-kr"?>', "cp949"),
        ('<meta charset="iso-8859-1">', "cp1252"),
        ("", "utf-8"),
        ('<meta charset="no-such-thing">', "utf-8"),
    ],
)
def test_a_page_is_read_in_the_encoding_that_it_states(tmp_path: Path, head: str, encoding: str) -> None:
    text = {"cp1251": "привет", "cp932": "こんにちは", "cp949": "안녕", "cp1252": "“naïve”"}.get(encoding, TEXT)
    page = f"<html><head>{head}</head><body><p>{text}</p></body></html>"
    ((line, row),) = read(tmp_path / "a.html", page.encode(encoding))
    assert line == 1 and row["text"] == page


# -- dataset folders --------------------------------------------------------------------------------------------


def saved(folder: Path, texts: list[str], *, names: tuple[str, ...] = ("neg", "pos")) -> None:
    """A folder as `Dataset.save_to_disk` writes it, in two shards."""
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": list(names), "_type": "ClassLabel"},
    }
    schema = pa.schema(
        {"text": pa.string(), "label": pa.int64()}, {"huggingface": json.dumps({"info": {"features": features}})}
    )
    folder.mkdir(parents=True)
    shards = [f"data-{i:05}-of-00002.arrow" for i in range(2)]
    for i, name in enumerate(shards):
        own = texts[i::2]
        with pa.ipc.new_stream(folder / name, schema) as writer:
            writer.write_table(pa.table({"text": own, "label": [j % 2 for j in range(len(own))]}, schema))
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in shards], "_split": None})
    )
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def test_a_saved_dataset_is_read_with_the_names_of_its_classes(tmp_path: Path) -> None:
    saved(tmp_path / "ds", ["a", "b", "c", "d"])
    found = files(tmp_path / "ds", shown="ds")
    assert [raw.shown for raw in found] == ["ds/data-00000-of-00002.arrow", "ds/data-00001-of-00002.arrow"]
    assert [row for raw in found for _, row in rows(raw)] == [
        {"text": "a", "label": "neg"}, {"text": "c", "label": "pos"},
        {"text": "b", "label": "neg"}, {"text": "d", "label": "pos"},
    ]  # fmt: skip
    assert all(raw.given == {} for raw in found)


def test_a_saved_dataset_dict_gives_its_splits(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        saved(tmp_path / "ds" / name, ["a", "b"])
    (tmp_path / "ds" / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    found = files(tmp_path / "ds", shown="ds", given={"lang": "sw"})
    assert [(raw.shown.split("/")[1], raw.given["split"], raw.given["lang"]) for raw in found[::2]] == [
        ("train", "train", "sw"), ("validation", "dev", "sw"), ("test", "test", "sw"),
    ]  # fmt: skip


def test_a_repository_of_the_hub_is_read_by_the_names_of_its_shards_or_by_its_readme(tmp_path: Path) -> None:
    tree(tmp_path / "a" / "data", "train-00000-of-00001.jsonl", "validation-00000-of-00001-0af3.jsonl")
    assert [raw.given for raw in files(tmp_path / "a", shown="a")] == [{"split": "train"}, {"split": "dev"}]
    tree(tmp_path / "b", "x/one.jsonl", "x/two.jsonl", "held.jsonl", "unused.jsonl")
    (tmp_path / "b" / "README.md").write_text(
        "---\nlicense: cc0-1.0\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: x/*.jsonl\n"
        "  - split: test\n    path: held.jsonl\n---\n# words\n"
    )
    assert [(raw.shown, raw.given["split"]) for raw in files(tmp_path / "b", shown="b")] == [
        ("b/x/one.jsonl", "train"), ("b/x/two.jsonl", "train"), ("b/held.jsonl", "test"),
    ]  # fmt: skip
    tree(tmp_path / "c", "train.jsonl", "more.jsonl")
    assert all(raw.given == {} for raw in files(tmp_path / "c")), "a plain folder stays a plain folder"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda f: (saved(f / "extra", ["a", "b"]), (f / "dataset_dict.json").write_text('{"splits": ["extra"]}')),
            "has the split 'extra'",
        ),
        (lambda f: (f / "dataset_dict.json").write_text("{}"), "names no splits"),
        (lambda f: (f / "dataset_dict.json").write_text('{"splits": ["train"]}'), "has no state.json"),
        (lambda f: (f / "state.json").write_text("no"), "is no JSON object"),
        (lambda f: (f / "state.json").write_text('{"_data_files": [{"filename": "x.arrow"}]}'), "which is not there"),
        (
            lambda f: (f / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}'),
            "is not a file of the folder",
        ),
        (
            lambda f: (f / "state.json").write_text('{"_data_files": [{"filename": "x"}], "_indices_data_files": [1]}'),
            "a selection of its rows",
        ),
        (
            lambda f: tree(f, "en/train-00000-of-00001.parquet", "sw/train-00000-of-00001.parquet"),
            "holds 2 configurations",
        ),
        (
            lambda f: (f / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: ../*.txt\n---\n"),
            "is not a file of the folder",
        ),
        (
            lambda f: (f / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: x/*.txt\n---\n"),
            "none is there",
        ),
    ],
)
def test_a_dataset_folder_that_cannot_be_read_says_what_to_write(tmp_path: Path, make: Any, words: str) -> None:
    folder = tmp_path / "ds"
    folder.mkdir()
    make(folder)
    with pytest.raises(DataError, match=words):
        files(folder, shown="ds")


def test_an_array_under_the_name_of_json_lines_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="format = 'json'"):
        read(tmp_path / "a.jsonl", b'[{"text": "a"}]')


# -- which files ------------------------------------------------------------------------------------------------


def tree(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\n", encoding="utf-8")


def test_folders_are_read_in_order_without_hidden_files_and_links_do_not_loop(tmp_path: Path) -> None:
    tree(tmp_path, "d/b.txt", "d/a/c.txt", "d/.hidden.txt", "d/.git/x.txt", "d/notes.md", "far/e.txt")
    (tmp_path / "d/loop").symlink_to(tmp_path / "d")
    (tmp_path / "d/far").symlink_to(tmp_path / "far")
    (tmp_path / "d/gone.txt").symlink_to(tmp_path / "nowhere.txt")
    found = files(tmp_path / "d", shown="d")
    assert [raw.shown for raw in found] == ["d/a/c.txt", "d/b.txt", "d/far/e.txt", "d/gone.txt"]
    assert all(raw.whole for raw in found)
    with pytest.raises(PlaceError, match="does not exist"):
        list(rows(found[-1]))


@pytest.mark.parametrize("absolute", [True, False])
def test_patterns_give_what_the_path_says(tmp_path: Path, absolute: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "d/train/swh-bill.txt", "d/test/en-visit.txt", "d/test/readme.txt", "d/other/deep/en-x.txt")
    monkeypatch.chdir(tmp_path)
    pattern = "d/{split}/{lang}-{label}.txt"
    found = files(tmp_path / pattern if absolute else Path(pattern), shown=pattern)
    assert [(raw.shown, raw.given) for raw in found] == [
        ("d/test/en-visit.txt", {"split": "test", "lang": "en", "label": "visit"}),
        ("d/train/swh-bill.txt", {"split": "train", "lang": "swh", "label": "bill"}),
    ]


def test_a_pattern_may_begin_in_the_middle_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "train-eng.txt", "train-swh.txt", "x/train-hin.txt")
    monkeypatch.chdir(tmp_path)
    assert [raw.shown for raw in files(Path("train-{lang}.txt"), shown="train-{lang}.txt")] == [
        "train-eng.txt",
        "train-swh.txt",
    ]
    found = files(tmp_path / "**/train-{lang}.txt", shown="**/train-{lang}.txt")
    assert [raw.shown for raw in found] == ["train-eng.txt", "train-swh.txt", "x/train-hin.txt"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nothing.jsonl", "no raw input"),
        ("empty", "no file that ends in"),
        ("*.jsonl", "no file matches"),
        ("{langue}.txt", "no placeholder; known: lang"),
        ("{}.txt", "no placeholder"),
        ("strange.xyz", "unknown file ending"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, given: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange.xyz").touch()
    with pytest.raises(DataError, match=words):
        files(tmp_path / given, shown=given)


def test_a_name_that_is_no_text_is_still_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    path.write_text("one\n", encoding="utf-8")
    (raw,) = files(tmp_path, shown="d")
    raw.shown.encode()
    assert list(rows(raw)) == [(1, {"text": "one"})]
