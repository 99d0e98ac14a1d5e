"""Make src/isogloss/assets/typology/: what the package carries to measure distances between languages.

    python tools/make_typology.py REF src/isogloss/assets/typology

REF is a folder with `wals_values.parquet` (wals_id, iso639_3, feature, feature_name, value; from WALS Online) and
`qwals_feature_order.parquet` (ID, NAME, VALUES IN ORDER; from qWALS). Lineages come from the data of the package
urielplus, which must be installed (pip install "isogloss[typology]"); it is read, never imported.

Writes `wals.tsv` (a row a language, a character a feature), `wals_features.tsv` (the features in that order) and
`lineages.tsv` (Glottolog's classification of every language of assets/languages.tsv).
"""

from __future__ import annotations

import argparse
import re
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import langcodes.data_dicts as cldr
import polars as pl

from isogloss.core.typology import NO_FAMILIES

FEWEST = 10  # a language with fewer values cannot be compared with anything
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

WALS_NOTICE = """\
# NOTICE. Facts from WALS Online (Dryer, Haspelmath, editors, 2013 and later), CC-BY 4.0, https://wals.info
# The order of a feature's values: qWALS (kit-tiplab/qwals), MIT."""
LANGUAGES = """
# A row a language of ISO 639-3 with 10 values or more. Character i is the place, from 0, in base 36, of the value of
# feature i of wals_features.tsv in the order of its values; a dot, or nothing at the end, is unknown. Where WALS has
# more than one variety of a language, it is the one with most values.
# Made by tools/make_typology.py; mend that file, not this one."""
FEATURES = """
# A row a feature, those known of most languages first.
# Made by tools/make_typology.py; mend that file, not this one."""
LINEAGES = """\
# NOTICE. Facts from Glottolog (Hammarstroem, Forkel, Haspelmath, Bank), CC-BY 4.0, in the edition of URIEL+ (Khan,
# Shipton et al. 2025; the package urielplus), CC-BY-SA 4.0.
# A row a language: its glottocode and the groups that it belongs to, from the family down; none for an isolate. A
# macrolanguage that Glottolog lacks has the groups that its members have in common.
# Made by tools/make_typology.py; mend that file, not this one."""

# WALS languages without a code of their own there.
CODES = {"aze": "aze", "uzb": "uzb", "oji": "ojg", "gur": "gvr"}

# What Glottolog classifies and the map of codes lacks.
GLOTTOCODES = {"cnr": "mont1282", "srd": "sard1257"}


def plain(value: str) -> str:
    """A value's name as both tables spell it."""
    return re.sub(r"\s+", " ", value.replace(",", "")).strip().lower()


def wals(ref: Path) -> tuple[list[str], list[str]]:
    """Rows of wals.tsv and of wals_features.tsv."""
    order = pl.read_parquet(ref / "qwals_feature_order.parquet")
    places, names = {}, {}
    for feature, name, values in order.select("ID", "NAME", "VALUES IN ORDER").iter_rows():
        listed = [plain(value) for value in values.split(",")]
        places.update({(feature, value): i for i, value in enumerate(listed)})
        names[feature] = (str(len(listed)), name)
    given = pl.read_parquet(ref / "wals_values.parquet").with_columns(
        iso639_3=pl.coalesce(pl.col("wals_id").replace_strict(CODES, default=None), "iso639_3")
    )
    sizes = given.filter(pl.col("iso639_3") != "").group_by("iso639_3", "wals_id").len()
    best = sizes.sort("iso639_3", "len", "wals_id", descending=[False, True, False]).unique("iso639_3", keep="first")
    given = given.join(best.filter(pl.col("len") >= FEWEST), on=["iso639_3", "wals_id"])
    features = given["feature"].value_counts().sort("count", "feature", descending=[True, False])["feature"].to_list()
    rows: dict[str, dict[str, str]] = {}
    for code, feature, value in given.select("iso639_3", "feature", "value").iter_rows():
        place = places.get((feature, plain(value)))
        if place is None:
            raise SystemExit(f"{feature} has no value '{value}' in its order")
        rows.setdefault(code, {})[feature] = DIGITS[place]
    lines = [
        f"{code}\t{''.join(row.get(feature, '.') for feature in features).rstrip('.')}"
        for code, row in sorted(rows.items())
    ]
    return lines, ["\t".join((feature, *names[feature])) for feature in features]


def lineages(languages: Path) -> list[str]:
    """Rows of lineages.tsv."""
    spec = find_spec("urielplus")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit('needs urielplus: pip install "isogloss[typology]"')
    folder = Path(spec.submodule_search_locations[0]) / "database" / "urielplus_csvs"
    of = dict(pl.read_csv(folder / "uriel_glottocode_map.csv", infer_schema=False).drop_nulls().rows())
    tree = pl.read_csv(folder / "lang_fam_geo.csv", infer_schema=False).select("language_id", "lineage")
    groups = {code: [g.strip() for g in (line or "").split(",") if g.strip()] for code, line in tree.iter_rows()}

    table = [line.split("\t") for line in languages.read_text(encoding="utf-8").split("\n") if line and line[0] != "#"]
    place = table[0].index("glottocode")
    own = {row[0][:3]: row[place] for row in reversed(table[1:])}
    members: dict[str, list[str]] = {}
    for one, wide in cldr.MACROLANGUAGES.items():
        members.setdefault(cldr.LANGUAGE_ALPHA3.get(wide, wide), []).append(cldr.LANGUAGE_ALPHA3.get(one, one))
    lines = []
    for code in sorted(own):
        glottocode = next((g for g in (GLOTTOCODES.get(code), of.get(code), own[code]) if g in groups), "")
        if glottocode:
            path = groups[glottocode]
        else:
            inner = [
                path
                for m in members.get(code, [])
                if (path := groups.get(of.get(m, ""))) and path[0] not in NO_FAMILIES
            ]
            path = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, zip(*inner, strict=False))]
        if path and path[0] in NO_FAMILIES:
            path = path[1:] or ["?"]
        if path != ["?"] and (glottocode or path):
            lines.append("\t".join((code, glottocode, ", ".join(path))))
    return lines


def write(path: Path, notice: str, head: str, lines: list[str]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join([notice, head, *lines, ""]), encoding="utf-8")
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ref", type=Path, help="the folder with the reference tables, Parquet")
    parser.add_argument("out", type=Path, help="the folder to write to")
    args = parser.parse_args()
    languages, features = wals(args.ref)
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "wals.tsv", WALS_NOTICE + LANGUAGES, "code\tvalues", languages)
    write(args.out / "wals_features.tsv", WALS_NOTICE + FEATURES, "feature\tn_values\tname", features)
    table = Path(__file__).parents[1] / "src" / "isogloss" / "assets" / "languages.tsv"
    write(args.out / "lineages.tsv", LINEAGES, "code\tglottocode\tgroups", lineages(table))


if __name__ == "__main__":
    main()
