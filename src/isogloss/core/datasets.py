"""Folders in which Hugging Face keeps a dataset on disk: what `save_to_disk` writes, and a repository of the hub.

    dataset_dict.json  +  SPLIT/state.json, SPLIT/data-*.arrow      a DatasetDict
    state.json, data-*.arrow                                       a Dataset, without a split
    README.md (configs, data_files)  or  data/SPLIT-00000-of-00003.parquet      a repository

Nothing is guessed: a split that is none of train, dev and test, or several configurations, is a DataError that says
what to write instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isogloss.core.errors import DataError

# How splits are called, and what they are here.
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "dev": "dev", "development": "dev", "valid": "dev", "validation": "dev", "val": "dev",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
# train-00000-of-00003.parquet, train-00000-of-00003-0a1b2c.jsonl.gz
_SHARD = re.compile(
    r"(?P<split>[\w.-]*?)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.(?:parquet|arrow|jsonl|json|csv|tsv|txt)(?:\.gz|\.zst)?"
)

Found = list[tuple[Path, dict[str, str]]]


def files(folder: Path, shown: str) -> Found:
    """The files of the dataset in `folder`, each with its `split` where it has one; empty when it is no such dataset.

    Raises DataError when it is one that cannot be read without saying more.
    """
    if (folder / "dataset_dict.json").is_file():
        return _dict(folder, shown)
    if (folder / "state.json").is_file():
        return [(file, {}) for file in _saved(folder, shown)]
    if (found := _stated(folder, shown)) is not None:
        return found
    return _named(folder, shown)


def _dict(folder: Path, shown: str) -> Found:
    splits = _json(folder / "dataset_dict.json", shown).get("splits")
    if not isinstance(splits, list) or not splits:
        raise DataError(f"{shown}/dataset_dict.json names no splits")
    return [
        (file, {"split": _split(str(name), shown, f"{shown}/{name}")})
        for name in splits
        for file in _saved(folder / str(name), f"{shown}/{name}")
    ]


def _saved(folder: Path, shown: str) -> list[Path]:
    state = _json(folder / "state.json", shown)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise DataError(f"{shown} holds a selection of its rows (indices); save it again after flatten_indices()")
    names = [str(item.get("filename")) for item in state.get("_data_files") or [] if isinstance(item, Mapping)]
    if not names:
        raise DataError(f"{shown}/state.json names no data files")
    _inside(names, f"{shown}/state.json")
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise DataError(f"{shown}/state.json names {absent[0]}, which is not there")
    return [folder / name for name in names]


def _json(path: Path, shown: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{shown} has no {path.name}, which a saved dataset has") from None
    except (ValueError, RecursionError):
        raise DataError(f"{shown}/{path.name} is no JSON object") from None
    if not isinstance(value, dict):
        raise DataError(f"{shown}/{path.name} is no JSON object")
    return value


def _stated(folder: Path, shown: str) -> Found | None:
    """What the head of README.md says of data files; None when it says nothing."""
    configs = _head(folder / "README.md").get("configs")
    if not isinstance(configs, list):
        return None
    stated = {
        str(one.get("config_name", i)): one["data_files"]
        for i, one in enumerate(configs)
        if isinstance(one, dict) and one.get("data_files")
    }
    if not stated:
        return None
    _one_of(list(stated), shown)
    (data_files,) = stated.values()
    pairs = list(_pairs(data_files))
    found: Found = []
    _inside([pattern for _, pattern in pairs], f"{shown}/README.md")
    for split, pattern in pairs:
        files_ = sorted(p for p in folder.glob(pattern) if p.is_file())
        if not files_:
            raise DataError(f"{shown}/README.md names the data files {pattern}, and none is there")
        given = {"split": _split(split, shown, f"{shown}/{pattern}")} if split else {}
        found += [(file, given) for file in files_]
    return found


def _pairs(data_files: Any) -> Iterator[tuple[str | None, str]]:
    """(split, pattern) of every way of writing `data_files`."""
    if isinstance(data_files, str):
        yield None, data_files
    elif isinstance(data_files, Mapping):
        if "path" in data_files:
            paths = data_files["path"]
            yield from ((data_files.get("split"), str(path)) for path in ([paths] if isinstance(paths, str) else paths))
        else:
            for split, value in data_files.items():
                yield from ((str(split), path) for _, path in _pairs(value))
    elif isinstance(data_files, Sequence):
        for item in data_files:
            yield from _pairs(item)


def _head(path: Path) -> dict[str, Any]:
    """The YAML between the first two lines of `---`."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")[:200_000]
    match = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", text, re.S)
    if match is None:
        return {}
    import yaml  # comes with transformers

    try:
        value = yaml.safe_load(match[1])
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def _named(folder: Path, shown: str) -> Found:
    """Shards that are called SPLIT-00000-of-00003, of one configuration."""
    shards = [(p, m) for p in sorted(folder.rglob("*")) if (m := _SHARD.fullmatch(p.name)) and p.is_file()]
    if not shards:
        return []
    others = [p for p in folder.rglob("*.parquet") if not _SHARD.fullmatch(p.name)]
    if others:
        return []
    _one_of(sorted({p.parent.relative_to(folder).as_posix() for p, _ in shards}), shown)
    return [(p, {"split": _split(m["split"], shown, f"{shown}/**/{m['split']}-*")}) for p, m in shards]


def _one_of(configs: Sequence[str], shown: str) -> None:
    if len(configs) > 1:
        names = ", ".join(configs[:6]) + (", ..." if len(configs) > 6 else "")
        raise DataError(
            f"{shown} holds {len(configs)} configurations ({names}); name one, or a pattern with {{lang}} where they are "
            f"languages, e.g. '{shown}/{{lang}}/{{split}}-*.parquet'"
        )


def _inside(names: Sequence[str], where: str) -> None:
    outside = [name for name in names if name.startswith(("/", "~")) or ".." in Path(name).parts or "://" in name]
    if outside:
        raise DataError(f"{where} names {outside[0][:120]}, which is not a file of the folder")


def _split(name: str, shown: str, where: str) -> str:
    found = SPLIT_NAMES.get(name.strip().lower())
    if found is None:
        raise DataError(
            f"{shown} has the split '{name}', which is none of train, dev and test; name the splits one by one: "
            f"{{path = '{where}', split = 'train'}}"
        )
    return found
