"""Find personal data in any script and redact it, mask it or give it pseudonyms.

E-mail addresses, URLs, IP addresses, telephone numbers, national numbers of persons, payment cards and bank accounts, in
the digits of every script. What has check digits is checked (63 kinds of numbers in 59 countries by python-stdnum); a
telephone number is known by its country code, by the numbering plan of a country of the language, or by a word
before it (phone, Telefon, هاتف, 电话). `countries` names the countries where those of the language are not meant.

Nothing but form is looked at: names of persons and places stay, and so does a number in words.
A trained model hides the same in what it is asked; the key does not go with it, so its pseudonyms have another key and the
same form. The column `pii` says what was found in a row: `email 2, phone 1`. Rows that steps before this one set aside lie in
`dropped/` as they came: put it first where that matters.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

VERSION = 3
REWRITES = True
PRIVATE = True
ADDS = ("pii",)

Kind = Literal["email", "url", "ip", "iban", "card", "id", "phone"]
ALL: list[Kind] = ["email", "url", "ip", "iban", "card", "id", "phone"]
Action = Literal["redact", "mask", "pseudonym", "tag"]
LEAST, TIMES = 16, 5


def check(*, action: Action = "redact", countries: list[str] = [], key_file: Path | None = None) -> None:  # noqa: B006
    """Raise RecipeError for knobs that do not go together, with the recipe and not in the middle of the run."""
    from isogloss.core.errors import RecipeError

    if action == "pseudonym" and key_file is None:
        raise RecipeError("pii: pseudonym needs key_file, a file with a secret", key="key_file")
    for country in countries:
        if not (len(country) == 2 and country.isascii() and country.isupper()):
            raise RecipeError(f"pii: countries are codes of two capitals such as DE, got '{country}'", key="countries")


def apply(
    batch: pl.DataFrame,
    *,
    action: Action = "redact",
    kinds: list[Kind] = ALL,
    countries: list[str] = [],  # noqa: B006
    key_file: Path | None = None,
) -> pl.DataFrame:
    """Rewrite `text`, and say in `pii` what was found.

    Knobs
        action: put `[EMAIL]` there (redact), stars for letters and digits (mask), `[EMAIL:bcdfghjk]`, the same for the same
            value (pseudonym), or leave the text and fill the column `pii` only (tag)
        kinds: what is looked for
        countries: countries (ISO 3166, two letters) whose telephone and national numbers are meant where no country
            code is written; without them those of the row's language
        key_file: a file with a secret of 16 bytes or more, for pseudonyms; who has it can try values

    Errors: MissingError for a library or for `key_file`, DataError for a key that is too short.
    """
    import polars as pl

    from isogloss.core.pii.find import find
    from isogloss.core.pii.hide import hidden

    key = _key(key_file) if key_file is not None else b""
    texts: list[str | None] = []
    found: list[str | None] = []
    langs = batch["lang"].to_list() if "lang" in batch.columns else [None] * batch.height
    for text, lang in zip(batch["text"].to_list(), langs, strict=True):
        n = dict.fromkeys(ALL, 0)
        for _ in range(TIMES):  # where much is hidden, what follows moves nearer to the word that announces it
            spans = find(text, lang or "und", countries, kinds) if text else []
            for span in spans:
                n[span.kind] += 1  # type: ignore[index]
            if not spans or action == "tag":
                break
            text = hidden(text, spans, action, key)
        texts.append(text)
        found.append(", ".join(f"{kind} {n[kind]}" for kind in ALL if n[kind]) or None)
    old = batch["pii"].cast(pl.String) if "pii" in batch.columns else pl.Series([None] * batch.height, dtype=pl.String)
    new = pl.Series("pii", found, dtype=pl.String)
    drop = batch["drop"] if "drop" in batch.columns else pl.Series([None] * batch.height, dtype=pl.String)
    told = pl.select(pl.coalesce(old, new).alias("pii")).to_series()  # a second look at a treated text finds nothing
    return batch.with_columns(pl.Series("text", texts, dtype=pl.String), drop.alias("drop"), told)


@lru_cache(maxsize=4)
def _key(path: Path) -> bytes:
    from isogloss.core.errors import DataError, MissingError

    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise MissingError(f"pii: the key file {path} cannot be read: {error.strerror}") from error
    if len(key) < LEAST:
        raise DataError(
            f"pii: the key in {path.name} has {len(key)} bytes; it needs {LEAST}, e.g. from: openssl rand -hex 32"
        )
    return key


def remarks(langs: tuple[str, ...], *, countries: list[str] = []) -> list[str]:  # noqa: B006
    """Languages whose countries are not known."""
    from isogloss.core.pii.find import homes_of

    none = [lang for lang in langs if not countries and not homes_of(lang)]
    if not none:
        return []
    return [
        f"pii: no country is known for {', '.join(none)}: telephone numbers are found there with a country code or behind a word "
        "for telephone; name countries in the knob `countries`"
    ]
