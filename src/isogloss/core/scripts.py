"""Scripts: which Unicode scripts an ISO 15924 code means, and in which script a character is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

# ISO 15924 codes that are not one Unicode script property value.
UNICODE: Mapping[str, tuple[str, ...]] = {
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Hanb": ("Hani", "Bopo"),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Hrkt": ("Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
    "Aran": ("Arab",),
    "Latf": ("Latn",),
    "Latg": ("Latn",),
    "Cyrs": ("Cyrl",),
    "Geok": ("Geor",),
    "Syre": ("Syrc",),
    "Syrj": ("Syrc",),
    "Syrn": ("Syrc",),
}


def unicode_scripts(script: str) -> tuple[str, ...]:
    """The Unicode scripts whose letters a text in an ISO 15924 script has.

    >>> unicode_scripts("Jpan"), unicode_scripts("Ethi")
    (('Hani', 'Hira', 'Kana'), ('Ethi',))
    """
    return UNICODE.get(script, (script,))


@cache
def _known() -> tuple[str, ...]:
    """Every Unicode script that a language of our table is written in, and a few more; the commonest first."""
    from isogloss.core.lang import table

    first = ("Latn", "Cyrl", "Hani", "Arab", "Deva", "Hang", "Thai", "Hira", "Kana", "Grek", "Hebr", "Beng", "Taml")
    others = sorted({one for row in table().values() for one in unicode_scripts(row.script)})
    return tuple(
        dict.fromkeys((*first, *others, "Bopo", "Copt", "Runr", "Shaw", "Tale", "Talu", "Kali", "Rohg", "Lisu"))
    )


def script_of(characters: Iterable[str]) -> dict[str, str]:
    """The Unicode script of each letter among `characters`, as ISO 15924 spells it; what is no letter is left out.

    A letter of a script that we do not know is "Zzzz"; marks that stand only beside letters are left out as well.

    >>> script_of("aЖ1 ሰ")
    {'a': 'Latn', 'Ж': 'Cyrl', 'ሰ': 'Ethi'}
    """
    import regex

    waiting = [c for c in dict.fromkeys(characters) if c.isalpha()]
    order = {c: i for i, c in enumerate(waiting)}
    found: dict[str, str] = {}
    for name in _known():
        if not waiting:
            break
        try:
            own = set(regex.findall(rf"\p{{Script={name}}}", "".join(waiting)))
        except regex.error:  # a code that Unicode has no script of
            continue
        found |= dict.fromkeys(own, name)
        waiting = [c for c in waiting if c not in own]
    found |= dict.fromkeys(waiting, "Zzzz")
    return dict(sorted(found.items(), key=lambda item: order[item[0]]))
