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
        return sorted(p.name for p in self.folder.glob("versions/v*") if (p / "version.json").is_file())

    @property
    def aliases(self) -> dict[str, str]:
        path = self.folder / "aliases.json"
        return dict(files.read_json(path)) if path.is_file() else {}

    @property
    def history(self) -> list[dict[str, Any]]:
        path = self.folder / "history.jsonl"
        return (
            files.read_own(path, lambda p: [json.loads(line) for line in p.read_text(encoding="utf-8").splitlines()])
            if path.is_file()
            else []
        )

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
        version = f"v{int((self.versions or ['v0'])[-1][1:]) + 1:04}"
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

    def point(self, alias: str, version: str, why: str) -> None:
        """Move an alias, atomically, and write it down. Call it with the lock held."""
        before = self.aliases.get(alias)
        entry = {"when": _now(), "alias": alias, "from": before, "to": version, "why": why}
        lines = [json.dumps(item, ensure_ascii=False) for item in [*self.history, entry]]
        files.write_json(self.folder / "aliases.json", {**self.aliases, alias: version})
        files.write_text(self.folder / "history.jsonl", "\n".join(lines) + "\n")

    def before(self, alias: str) -> str:
        """The version that `alias` pointed at before its present one. Raises InputError when there is none."""
        current = self.aliases.get(alias)
        if current is None:
            raise InputError(f"{self.folder} has no alias '{alias}'{nearest(alias, self.aliases)}")
        # Walk the promotions back: a rollback takes the last of them off, so that two rollbacks go back two versions.
        stack: list[str] = []
        for entry in self.history:
            if entry["alias"] != alias:
                continue
            if entry["to"] in stack:
                del stack[stack.index(entry["to"]) + 1 :]
            else:
                stack.append(entry["to"])
        if len(stack) < 2:
            raise InputError(
                f"'{alias}' of {self.folder.name} points at {current}, and at nothing before it; there is nothing to roll back to"
            )
        return stack[-2]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
