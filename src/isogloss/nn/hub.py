"""Find a model by the name a recipe gives: a folder, the local hub cache, or the hub."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from isogloss.core import files
from isogloss.core.errors import InputError, MissingError

# What is fetched: never a pickle, never code.
PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.bpe")
# What is fetched where only the tokenizer is asked for.
TOKENIZER = ("tokenizer*", "*.tiktoken", "*.model", "*.spm", "vocab.*", "merges.txt", "tekken.json", "config.json",
             "special_tokens_map.json", "added_tokens.json")  # fmt: skip
SECONDS = 5.0
PACKAGED = ("isogloss/mini",)


@dataclass(frozen=True)
class Found:
    """A model on this disk: its `folder` and, from the hub, the `commit` it is of."""

    folder: Path
    commit: str | None = None


def find(name: str, revision: str | None, folder: Path) -> Found:
    """Find the model `name`: one of the package (`isogloss/mini`), `folder` (the name as a path) when it exists, else the
    hub's, from its cache first.

    Raises MissingError when it is nowhere, InputError when the folder holds no model of safetensors.
    """
    own = packaged(name)
    if own is not None:
        return Found(own)
    if folder.is_dir():
        return Found(_checked(folder, name))
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise MissingError(
            f"there is no model folder {folder}; give a folder with config.json, model.safetensors and a tokenizer, "
            "or a hub name"
        )
    snapshot = _cached(name, revision) or _fetched(name, revision)
    return Found(_checked(snapshot, name), snapshot.name)


def is_name(name: str) -> bool:
    """Whether a text has the form of a hub name: `model` or `owner/model`."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", name) is not None


def find_tokenizer(name: str, revision: str | None) -> Path:
    """The folder of a hub model's tokenizer, from the cache first; weights are not fetched.

    Raises MissingError when it is nowhere.
    """
    from huggingface_hub import snapshot_download

    from isogloss.core.token_files import NAMES

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(TOKENIZER), local_files_only=True))
    except Exception:  # whatever it says: it is not there
        folder = None
    if folder is not None and any((folder / one).is_file() for one in (*NAMES, "tokenizer_config.json")):
        return folder
    return _fetched(name, revision, "tokenizer", TOKENIZER)


def packaged(name: str) -> Path | None:
    """The folder of a model that the package carries; None for a name of another kind.

    Raises MissingError for a name `isogloss/...` that the package does not have.
    """
    owner, _, short = name.partition("/")
    if owner != "isogloss":
        return None
    folder = Path(str(resources.files("isogloss"))) / "assets" / short
    if name not in PACKAGED:
        raise MissingError(f"the package has no model '{name}'; it has {', '.join(PACKAGED)}")
    if not (folder / "config.json").is_file():
        raise MissingError(
            f"'{name}' is not in this installation: {folder} has no config.json; install the package anew"
        )
    return folder


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(PATTERNS), local_files_only=True))
    except Exception:  # whatever it says: it is not there
        return None
    return folder if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None


def _fetched(name: str, revision: str | None, kind: str = "model", patterns: Sequence[str] = PATTERNS) -> Path:
    from huggingface_hub import constants, snapshot_download

    what = f"the {kind} '{name}'" + (f" at revision '{revision}'" if revision else "")
    short = Path(name).name
    where = f"download its folder on a machine that is connected (hf download {name} --local-dir {short})" + (
        f", copy it beside the recipe, and name that folder: model.name = '{short}'"
        if kind == "model"
        else f", copy it here, and name that folder: ./{short}"
    )
    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        raise MissingError(f"{what} is not on this machine and the hub cannot be reached; {where}")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns), etag_timeout=SECONDS))
    except Exception as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingError(
            f"{what} is not on this machine and the hub does not give it ({said[:160]}); check the name, or {where}"
        ) from None


def _reachable(endpoint: str) -> bool:
    """Whether something listens there, within seconds. Behind a proxy only the download itself can tell."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint)
    try:
        with socket.create_connection(
            (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)), timeout=SECONDS
        ):
            return True
    except OSError:
        return False


def _checked(folder: Path, name: str) -> Path:
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is no model: it has no config.json")
    if not any(folder.glob("*.safetensors")):
        pickles = ", ".join(sorted(p.name for p in folder.glob("*.bin"))) or "no weights at all"
        raise InputError(
            f"'{name}' has no safetensors weights ({pickles}), and pickles are never loaded; give a revision that has "
            f"them (the hub's converter offers one as revision = 'refs/pr/N'), or convert the folder yourself"
        )
    return folder


def fingerprint(folder: Path) -> dict[str, str]:
    """Digests of a model's files, to tell when a folder was changed under finished work."""
    return {path.name: files.digest(path) for pattern in PATTERNS for path in sorted(folder.glob(pattern))}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own progress bars and reports off the screen, which belongs to the CLI."""
    from transformers.utils import logging as theirs

    before: Any = theirs.get_verbosity()
    bars = theirs.is_progress_bar_enabled()
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(before)
        if bars:
            theirs.enable_progress_bar()
