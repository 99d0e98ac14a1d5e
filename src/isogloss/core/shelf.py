"""Shelf: versions of servable models, and the aliases that point at them.

shelf/NAME/versions/v0001/   everything that serves: model files, recipe, scores, report
shelf/NAME/aliases.json      {"production": "v0001"}, moved by one rename
shelf/NAME/history.jsonl     every move: when, alias, from, to, why
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isogloss.core import files
from isogloss.core.errors import InputError, nearest
from isogloss.core.run import Run


@dataclass(frozen=True)
class Shelf:
    """The versions of one model name."""

    folder: Path

    @property
    def versions(self) -> list[str]:
        """Oldest first."""
        found = [p.name for p in self.folder.glob("versions/v*") if (p / "version.json").is_file()]
        return sorted((name for name in found if name[1:].isdecimal()), key=lambda name: int(name[1:]))

    @property
    def aliases(self) -> dict[str, str]:
        path = self.folder / "aliases.json"
        remedy = f"remove it, and say what it should be: isogloss rollback {self.folder.name} --to VERSION"
        return files.read_own(path, _read_aliases, remedy) if path.is_file() else {}

    @property
    def history(self) -> list[dict[str, Any]]:
        path = self.folder / "history.jsonl"
        return files.read_own(path, _read_history, "remove it and repeat the command") if path.is_file() else []

    def path(self, version: str) -> Path:
        """The folder of a version or an alias. Raises InputError when there is none of that name."""
        name = self.aliases.get(version, version)
        if name not in self.versions:
            raise InputError(
                f"{self.folder} has no version or alias '{version}'{nearest(version, [*self.versions, *self.aliases])}"
            )
        return self.folder / "versions" / name

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with Run(self.folder).locked():
            yield

    def add(self, contents: Mapping[str, Path], facts: Mapping[str, Any]) -> str:
        """Copy `contents` (name in the version → file or folder) into a new version; it appears whole or not at all.

        A version with the same `facts["key"]` is not made twice. Call it with the lock held.
        """
        for version in self.versions:
            if files.read_json(self.folder / "versions" / version / "version.json").get("key") == facts["key"]:
                return version
        version = f"v{int((self.versions or ['v0000'])[-1][1:]) + 1:04}"
        target = self.folder / "versions" / version
        temporary = target.with_name(f".{version}{files.TEMPORARY}")
        with files.place_errors(target):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name, path in contents.items():
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, temporary / name)
            files.write_json(temporary / "version.json", {**facts, "version": version, "when": _now()})
            temporary.replace(target)
        return version

    def point(self, alias: str, version: str, why: str, *, back: bool = False) -> None:
        """Move an alias, atomically, and write it down; `back` says that it is a rollback. Call it with the lock held.

        The history comes first: killed in between, the move was only announced, and `before` believes the alias.
        """
        aliases = self.aliases
        entry = {"when": _now(), "alias": alias, "from": aliases.get(alias), "to": version, "back": back, "why": why}
        lines = [json.dumps(item, ensure_ascii=False) for item in [*self.history, entry]]
        files.write_text(self.folder / "history.jsonl", "\n".join(lines) + "\n")
        files.write_json(self.folder / "aliases.json", {**aliases, alias: version})

    def before(self, alias: str) -> str:
        """The version that `alias` pointed at before its present one. Raises InputError when there is none."""
        current = self.aliases.get(alias)
        if current is None:
            raise InputError(f"{self.folder} has no alias '{alias}'{nearest(alias, self.aliases)}")
        # A promotion puts a version on the pile, a rollback takes off what lies above: two go back two versions.
        pile: list[str] = []
        moves = [(entry["to"], entry["back"]) for entry in self.history if entry["alias"] == alias]
        for version, back in [*moves, (current, True)]:
            if back and version in pile:
                while pile[-1] != version:
                    pile.pop()
            elif pile[-1:] != [version]:
                pile.append(version)
        if len(pile) < 2:
            known = f"'{alias}' of {self.folder.name} points at {current}"
            raise InputError(f"{known}, and at nothing before it: there is nothing to roll back to")
        return pile[-2]


def _read_aliases(path: Path) -> dict[str, str]:
    return {str(alias): str(version) for alias, version in json.loads(path.read_text(encoding="utf-8")).items()}


def _read_history(path: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{**entry, **{name: entry[name] for name in ("alias", "to", "back")}} for entry in entries]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
