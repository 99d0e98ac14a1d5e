"""Open a tokenizer by any name: a file, a folder, one of the package, or the hub's; torch only where nothing else reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isogloss.core import token_files
from isogloss.core.errors import InputError, MissingError
from isogloss.core.say import Say
from isogloss.core.tokens import Encoded, Tokenizer, encoded
from isogloss.nn import hub

# Endings of files: a name that ends so is no hub name.
FILES = (".json", ".model", ".txt", ".tiktoken", ".spm", ".parquet", ".gz")


def open_tokenizer(name: str | Path, *, revision: str | None = None, say: Say | None = None) -> Tokenizer:
    """The tokenizer that `name` means: a file or folder on this disk, `isogloss/mini`, or a hub name, cache first.

    A folder whose tokenizer exists only as code of transformers is opened with transformers, which loads torch and is
    said. Raises MissingError when nothing is there, InputError for what is no tokenizer or is not whole.
    """
    asked = str(name)
    place = hub.packaged(asked) or Path(asked).expanduser()
    if not place.exists() and (not hub.is_name(asked) or place.suffix in FILES):
        raise MissingError(f"there is no tokenizer {asked}; give a file, a folder, or a hub name such as org/model")
    if not place.exists():
        place = hub.find_tokenizer(asked, revision)
    try:
        return token_files.read(place, asked)
    except MissingError:
        if not place.is_dir() or not (place / "tokenizer_config.json").is_file():
            raise
    return _by_transformers(place, asked, say or Say())


def _by_transformers(folder: Path, name: str, say: Say) -> Tokenizer:
    """A tokenizer of a kind that only transformers knows."""
    import json

    say.note(f"only transformers can open the tokenizer of {name}; loading it, and torch with it")
    from transformers import AutoTokenizer

    try:
        with hub.quiet():
            found: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise InputError(f"the tokenizer of {name} cannot be opened: {said}") from None
    inner = getattr(found, "backend_tokenizer", None)
    if inner is not None:
        return token_files.rust(inner, json.loads(inner.to_str()), name, "transformers")

    def cut(texts: Sequence[str]) -> Encoded:
        return encoded(found(list(texts), add_special_tokens=False, verbose=False)["input_ids"], None)

    def join(ids: Sequence[Sequence[int]]) -> list[str]:
        return [str(found.decode(one, skip_special_tokens=True)) for one in ids]

    unknown = frozenset({found.unk_token_id} if found.unk_token_id is not None else ())
    specials = frozenset(found.all_special_ids)
    pieces: dict[int, str | None] = {
        i: "" if i in specials else str(found.convert_tokens_to_string([piece]))
        for piece, i in found.get_vocab().items()
    }
    longest = found.model_max_length
    return Tokenizer(
        name, "other", "transformers", pieces, unknown, specials, frozenset(), fallback=not unknown,
        max_length=int(longest) if longest < token_files.UNBOUNDED else None,
        n_special=found.num_special_tokens_to_add(),
        notes=("it does not tell which characters a token stands for, so nothing is said of words and of lost characters",),
        cut=cut, join=join,
    )  # fmt: skip
