"""embed: the texts of a file to unit vectors, for any encoder; and what retrieve and cluster share of that."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isogloss.core import files, parts
from isogloss.core.errors import DataError, InputError, MissingError
from isogloss.core.say import Say

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from isogloss.nn.embedder import Embedder
    from isogloss.stages.model import Model

DEFAULT = "isogloss/mini"
STDIN = "-"
# What a rewriting step reads of a text beside the text.
NOTHING = "\x00"


# -- models -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoder:
    """An Embedder, with the text steps of the model's training where isogloss trained it."""

    embedder: Embedder
    trained: Model | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader of vectors must know of where they come from."""
        own = self.embedder
        return {
            "model": own.name,
            "commit": own.commit,
            "digest": own.digest,
            "dimension": own.dimension,
            "pooling": own.pooling,
            "max_length": own.max_length,
        }

    def vectors(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        tick: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors `(N, D)` float32, and which texts were cut `(N,)`. Raises DataError, with the position."""
        from isogloss.nn.embedder import check_texts

        check_texts(texts)
        return self.embedder.embed_and_cuts(self._rewritten(texts), prompt=prompt, tick=tick)

    def _rewritten(self, texts: Sequence[str]) -> Sequence[str]:
        import polars as pl

        from isogloss.nn.embedder import TextError

        if self.trained is None or not texts:
            return texts
        numbers = [str(i) for i in range(len(texts))]
        frame = pl.DataFrame({"id": numbers, "lang": [None] * len(texts), "text": list(texts)}, strict=False)
        found = self.trained.rewrite(frame.cast(pl.String))["text"].to_list()
        gone = next((i for i, text in enumerate(found) if not (text or "").strip()), None)
        if gone is not None:
            raise TextError(gone, f"is empty after the text steps of {self.embedder.name}; leave it out")
        return found


def encoder(name: str, *, revision: str | None = None) -> Encoder:
    """The encoder of that name: `isogloss/mini`, a folder, a hub name, or a run, shelf or export of an encoder.

    Raises MissingError when there is none, InputError for a model that has no vectors.
    """
    from isogloss.nn.embedder import Embedder
    from isogloss.stages import model

    def locate(given: str) -> Path:
        return Path(given).expanduser()

    place = locate(name)
    if not any((place / mark).is_file() for mark in (model.CARD, f"model/{model.CARD}", "recipe.toml", "aliases.json")):
        return Encoder(Embedder.load(name, revision=revision, locate=locate))
    folder = model.locate(place)
    card = model.read_card(folder)
    family = parts.load("families", card["family"])
    if not (folder / "config.json").is_file():
        raise InputError(f"the family '{card['family']}' of {name} has no vectors; give an encoder")
    loaded = Embedder.load(name, locate=lambda given: folder)
    return Encoder(loaded, model.Model(folder, card, family, None))


# -- rows -------------------------------------------------------------------------------------------------------


def rows(path: Path, *, text: str = "text", tagged: bool = True) -> pl.DataFrame:
    """The rows of a file, folder or pattern, in order: `id, lang, group, label, text, origin`; `-` is standard input.

    A vector stands for its row by position, so nothing is set aside: the first row that cannot be used, an empty line
    too, raises DataError with file and line. Without `tagged` only texts are read.
    """
    import polars as pl

    from isogloss.core.corpus import Fields, Rejected, read
    from isogloss.core.readers import expand

    if str(path) == STDIN:
        return _standard_input()
    names = {"text": text} if tagged else {"text": text, "lang": NOTHING, "group": NOTHING, "label": NOTHING}
    fields = Fields(columns=names, task_fields=(), keep=("label",), splits=False, detect=True)
    raws = expand(path, str(path), format=None, encoding="utf-8", rows=None, given={})
    found, bad = [], []
    for item in (row for raw in raws for row in read(raw, fields)):
        if isinstance(item, dict):
            found.append(item)
        elif isinstance(item, Rejected):
            bad.append(item)
    if bad:
        more = f" (and {len(bad) - 1:,} more rows)" if len(bad) > 1 else ""
        raise DataError(
            f"{bad[0].origin}: {bad[0].reason}{more}; a vector stands for its row by position, "
            "so mend the row or take it out"
        )
    if not found:
        raise DataError(f"{path} has no rows")
    return pl.DataFrame(found, schema=fields.schema).select("id", "lang", "group", "label", "text", "origin")


def _standard_input() -> pl.DataFrame:
    import polars as pl

    lines = list(_lines(sys.stdin.buffer.read()))
    if not lines:
        raise DataError("standard input has no lines; one text a line is expected")
    places = [f"standard input:{i}" for i in range(1, len(lines) + 1)]
    for place, line in zip(places, lines, strict=True):
        if not line.strip():
            raise DataError(f"{place}: empty text; a vector stands for its line by position, so take it out")
    none = pl.Series([None] * len(lines), dtype=pl.String)
    return pl.DataFrame({"id": places, "lang": none, "group": none, "label": none, "text": lines, "origin": places})


def _lines(given: bytes) -> Iterator[str]:
    try:
        whole = given.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = given.count(b"\n", 0, error.start) + 1
        raise DataError(f"standard input:{number}: not UTF-8 (byte 0x{given[error.start]:02x})") from None
    for line in whole.split("\n")[: -1 if whole.endswith("\n") or not whole else None]:
        yield line.removesuffix("\r")


def vectors_of(
    frame: pl.DataFrame, found: Encoder, say: Say, *, prompt: str | None = None, what: str = "embedding"
) -> tuple[np.ndarray, int]:
    """Unit vectors `(N, D)` of rows, and how many texts were cut. Raises DataError with file and line."""
    from isogloss.nn.embedder import TextError

    texts = frame["text"].to_list()
    try:
        vectors, cuts = found.vectors(
            texts, prompt=prompt, tick=lambda done: say.progress(what, done, len(texts), "texts")
        )
    except TextError as error:
        raise DataError(f"{frame['origin'][error.position]}: the text {error.why}") from None
    finally:
        say.close()
    return vectors, int(cuts.sum())


def note_cuts(say: Say, found: Encoder, n_cut: int, of: str) -> None:
    """Say that texts were cut, if any were."""
    if n_cut:
        texts = "1 text is" if n_cut == 1 else f"{n_cut:,} texts are"
        say.note(f"{texts} cut to the first {found.embedder.max_length} tokens, which is what the model reads ({of})")


def read_vectors(path: Path, frame: pl.DataFrame, of: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Unit vectors `(N, D)` float32 of an `.npy` file, and what lies beside it says of them (empty without).

    Raises DataError when they are no vectors of the rows of `frame`, read from `of`.
    """
    import numpy as np

    if not path.is_file():
        raise MissingError(f"there are no vectors {path}; make them with: isogloss embed --in {of} --out {path}")
    try:
        given = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path} cannot be read as .npy ({str(error).splitlines()[0][:120]})") from None
    if not isinstance(given, np.ndarray) or given.ndim != 2 or not np.issubdtype(given.dtype, np.floating):
        shape = getattr(given, "shape", "no array")
        raise DataError(f"{path} must have one vector of floats a row, in two dimensions; it has {shape}")
    if len(given) != frame.height:
        raise DataError(f"{path} has {len(given):,} vectors and {of} has {frame.height:,} rows; they must be as many")
    return unit(given, str(path)), _beside(path)


def unit(given: np.ndarray, of: str) -> np.ndarray:
    """Vectors at unit length, float32. Raises DataError where one has no direction."""
    import numpy as np

    wide = np.asarray(given, np.float64)  # in float32 the squares of 1e20 or 1e-30 would not be numbers any more
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if len(bad):
        raise DataError(f"vector {bad[0]} of {of} is zero or not finite, so it has no direction")
    return np.asarray(wide / lengths, np.float32)


def _beside(path: Path) -> dict[str, Any]:
    facts = facts_path(path)
    said = dict(files.read_json(facts, "embed again")) if facts.is_file() else {}
    return said if said.get("vectors") == files.digest(path) else {}  # else they are of other vectors


def facts_path(path: Path) -> Path:
    """Where what is known of an `.npy` file lies.

    >>> facts_path(Path("a/vectors.npy")).as_posix()
    'a/vectors.json'
    """
    return path.with_suffix(".json")


def apart(out: Path, *read: Path | None) -> None:
    """Refuse to write over a file that is read. Raises InputError."""
    for path in read:
        if path is not None and out.exists() and path.exists() and out.samefile(path):
            raise InputError(f"{out} is what is read, and writing there would replace it; give --out another name")


def _free(path: Path) -> None:
    """Refuse to replace a JSON file that does not tell of vectors. Raises InputError."""
    if not path.exists():
        return
    try:
        said = json.loads(path.read_bytes())
    except (ValueError, OSError):
        said = None
    if not isinstance(said, dict) or not {"digest", "vectors"} <= set(said):
        raise InputError(
            f"{path} is there and does not tell of vectors, and what they are would be written there; "
            "give --out another name"
        )


# -- the stage --------------------------------------------------------------------------------------------------


def embed_file(
    given: Path, out: Path, *, model: str = DEFAULT, revision: str | None = None, prompt: str | None = None,
    text: str = "text", say: Say | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write the unit vectors of a file to `out` (`.npy`, float32) and what they are beside it (`.json`); return that.

    Raises DataError with file and line for a row without text, MissingError or InputError for the model.
    """
    import numpy as np

    say = say or Say()
    if out.suffix != ".npy":
        raise InputError(f"vectors are written as .npy; got --out {out}")
    apart(out, given)
    apart(facts_path(out), given)
    _free(facts_path(out))
    frame = rows(given, text=text, tagged=False)
    found = encoder(model, revision=revision)
    vectors, n_cut = vectors_of(frame, found, say, prompt=prompt)
    with files.whole(out) as temporary, temporary.open("wb") as handle:
        np.save(handle, vectors, allow_pickle=False)
    facts = {
        **found.facts,
        "n": len(vectors),
        "n_cut": n_cut,
        "prompt": found.embedder.before(prompt),
        "source": str(given),
        "vectors": files.digest(out),
    }
    files.write_json(facts_path(out), facts)
    note_cuts(say, found, n_cut, str(given))
    return {"out": str(out), **facts}


def embed(texts: Sequence[str], model: str = DEFAULT, *, prompt: str | None = None) -> np.ndarray:
    """Unit vectors `(N, D)` float32 of texts."""
    return encoder(model).vectors(texts, prompt=prompt)[0]
