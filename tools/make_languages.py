"""Make src/isogloss/assets/languages.tsv, the table of languages that the package carries.

    python tools/make_languages.py REF.parquet src/isogloss/assets/languages.tsv

REF has one row a language: iso639_3, name, glottocode, family, genus, lat, lon, scripts_glotscript,
scripts_linguameta, speakers_est, wals_id. Names, endonyms, macrolanguages and likely scripts come from
langcodes and language-data, coordinates that REF lacks from the data of urielplus (pip install "isogloss[typology]";
read, never imported); what is written by hand is below, so that it can be read and mended.
"""

# ruff: noqa: SIM905 - long lists of codes are easier to read and mend as text

from __future__ import annotations

import argparse
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import langcodes.data_dicts as cldr
import polars as pl
from langcodes import Language
from language_data.names import code_to_names

NOTICE = """\
# NOTICE. Facts about languages, with their sources.
# Names of families, coordinates, glottocodes: Glottolog (Hammarstroem, Forkel, Haspelmath, Bank), CC-BY 4.0.
# Genera: WALS Online (Dryer, Haspelmath), CC-BY 4.0; where WALS lacks the language, its nearest relative's, by hand.
# Coordinates and glottocodes that it lacks, standard languages and dialects: Glottolog in the edition of URIEL+ (Khan,
# Shipton et al. 2025), CC-BY-SA 4.0; of a macrolanguage, those of its usual member.
# Speakers and scripts: LinguaMeta (Ritchie et al. 2024), CC-BY-SA 4.0. Scripts: GlotScript (Kargaran et al. 2024), MIT.
# Speakers that it lacks: Unicode CLDR, of the code that CLDR writes the language with (sw for swh, ar for arb).
# Names, endonyms, macrolanguages, likely scripts: Unicode CLDR and the IANA registry through langcodes and
# language-data, MIT.
# Resource classes: after Joshi et al. 2020, entered by hand; 3 to 5 agree with the lists in URIEL+ (5 is its high, 3
# and 4 its medium; lat is 3 here and low there), 0 to 2 are not checked against the paper's own file.
# Spaces and digits: by script, by hand after CLDR.
# An empty cell is unknown. The first row of a language is its usual script. `codes` are read as this row.
# Made by tools/make_languages.py; mend that file, not this one."""

COLUMNS = (
    "tag name endonym direction family genus latitude longitude speakers resource "
    "macrolanguage spaces digits glottocode bcp47 codes"
).split()

# The tags of FLORES-200; where a language has two, the first is its usual script.
FLORES = """
ace_Latn ace_Arab acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn
ars_Arab ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl
bem_Latn ben_Beng bho_Deva bjn_Latn bjn_Arab bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn cjk_Latn
ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn
ewe_Latn fao_Latn fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn gaz_Latn gla_Latn gle_Latn glg_Latn grn_Latn
guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn
ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor kaz_Cyrl kbp_Latn kea_Latn
khk_Cyrl khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kmr_Latn knc_Latn knc_Arab kon_Latn kor_Hang lao_Laoo lij_Latn
lim_Latn lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn lvs_Latn mag_Deva mai_Deva
mal_Mlym mar_Deva min_Latn min_Arab mkd_Cyrl mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr nld_Latn nno_Latn nob_Latn
npi_Deva nso_Latn nus_Latn nya_Latn oci_Latn ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn pol_Latn
por_Latn prs_Arab quy_Latn ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Olck scn_Latn shn_Mymr sin_Sinh slk_Latn
slv_Latn smo_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srd_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn
szl_Latn tam_Taml taq_Latn taq_Tfng tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tpi_Latn tsn_Latn tso_Latn
tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn
wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zsm_Latn zul_Latn
""".split()

# Further tags that corpora use (romanised text, a second script), beside those both script sources agree on.
EXTRA = """
hin_Latn urd_Latn ben_Latn tam_Latn tel_Latn mal_Latn kan_Latn mar_Latn guj_Latn pan_Latn npi_Latn ell_Latn rus_Latn
bul_Latn jpn_Latn zho_Latn srp_Latn bos_Cyrl cnr_Cyrl pes_Latn arz_Latn ary_Latn arq_Latn uzn_Cyrl uzs_Arab khk_Mong
mvf_Mong bxr_Cyrl kmr_Arab kmr_Cyrl pnb_Arab hau_Arab swh_Arab zsm_Arab fuf_Adlm fuv_Adlm mad_Latn nij_Latn
bbc_Latn bbj_Latn pcm_Latn hmn_Latn yue_Hans nan_Hant nan_Hans nan_Latn lzh_Hant lzh_Hans sin_Latn tat_Latn tgk_Arab
azj_Cyrl tuk_Cyrl ron_Cyrl mni_Mtei snd_Deva
""".split()

# Codes that the reference has and that are no single language, have no script, or are spelled otherwise in FLORES-200.
NOT_ROWS = set("und nah oto swl hbs lav nor cmn fil gug".split())

# The usual script where neither FLORES-200 nor CLDR says it rightly.
USUAL = dict(
    tag.split("_")
    for tag in """aii_Syrc bgq_Deva blt_Latn btd_Latn btm_Latn bts_Latn chu_Cyrl cnr_Latn ctd_Latn czh_Hans emk_Latn
    gno_Deva grc_Grek hnj_Latn kkh_Lana lzh_Hant mnk_Latn mww_Latn nan_Hant nod_Thai rif_Latn rmn_Latn rmz_Mymr syc_Syrc
    tcn_Tibt vas_Deva zeh_Hans""".split()
)

# Languages whose readers meet two scripts every day: a bare code does not say which.
TWO_SCRIPTS = set(
    """ace aze bam bjn bos bxr cnr crh gom hnj hoc kaa kab kas kaz kmr knc lzh min mni nan nod pan rif rmn sat shi
    snd srp tat taq tuk tzm uig uzn yue zho zgh zdj""".split()
)

# Scripts that one meets in facsimiles and in Unicode charts, not in corpora.
RARE = set(
    """Brai Dsrt Shaw Runr Hung Glag Latg Ogam Tglg Buhd Hano Gran Sidd Modi Mahj Kthi Takr Tirh Newa Shrd Cyrs Geok
    Syrn Osma Pauc Rjng Maka Sind Nagm Zxxx Hani Hanb Bopo Phag Marc Plrd Kana Hira Linb Cprt Bhks Sylo Hmng""".split()
)

# What a code is read as when no two-way table says it: wider (macrolanguages), or another spelling of the same.
CODES = {
    "arb_Arab": "ara",
    "ory_Orya": "ori",
    "zho_Hans": "cmn zho_Hani",
    "tgl_Latn": "fil",
    "grn_Latn": "gug",
    "est_Latn": "ekk",
    "ron_Latn": "mol",
    "srp_Latn": "hbs",
    "nob_Latn": "nor",
    "quy_Latn": "que",
    "pbt_Arab": "pus",
    "fuv_Latn": "ful",
    "taq_Latn": "tmh",
    "gom_Deva": "kok",
    "ojb_Cans": "oji",
    "aii_Syrc": "syr",
    "bho_Deva": "bih",
    "gkp_Latn": "kpe",
    "kor_Hang": "kor_Kore",
    "pnb_Arab": "lah pan_Arab",
    "azb_Arab": "aze_Arab",
    "ckb_Arab": "kur_Arab kur_IQ kur_IR",
    "mvf_Mong": "mon_Mong",
    "uzs_Arab": "uzb_Arab",
    "prs_Arab": "fas_AF",
}

# Relatives that lend family and genus to a language that Glottolog or WALS lacks.
LIKE = {
    "bos": "hbs", "hrv": "hbs", "srp": "hbs", "cnr": "hbs", "nno": "nor", "fat": "twi", "ltg": "lav", "grn": "gug",
    "kon": "swh", "srd": "ita", "nbl": "nde", "zgh": "shi", "hmn": "mww", "ajp": "apc", "gub": "gug", "acq": "arb",
    "ars": "arb", "bjn": "min", "cjk": "swh", "dzo": "bod", "fur": "ita", "hne": "hin", "kea": "pap", "kmb": "swh",
    "lim": "nld", "lmo": "ita", "pbt": "pes", "san": "hin", "scn": "ita", "szl": "pol", "tum": "swh", "vec": "ita",
    "lir": "pcm",
}  # fmt: skip

# Classes after Joshi et al. 2020, from memory and a second-hand list of them, not from the paper's lang2tax file: 5 is
# URIEL+'s list of high-resource languages and 3 with 4 its medium (but for lat, which it has as low), 2 and below are
# less sure. A language without a class here stays unknown.
RESOURCE = {
    "5": "eng spa deu jpn fra arb zho",
    "4": "por ita nld rus pol ces swe tur fin hun pes hin vie kor cat eus hrv srp",
    "3": "afr arz ben bel bos bul ceb dan ell est glg heb ind kat kaz lat lit lvs ron slk slv tam tgl tha ukr urd uzn "
    "zsm",
    "2": "amh gle hat hau isl lao mar mlt pan san swh tir tsn wol xho yor zul",
    "1": "als asm azj bak bam bod bre ckb cym epo ewe fao fij gla grn guj hye ibo ilo jav kan khm kik kin kir kmr "
    "kon lin ltz lug mal mkd mni mri mya nav nno nob npi nya oci ory pap que run sag sat scn smo sna snd som srd ssw "
    "sun tat tel tgk tpi tso tuk twi uig ydd",
    "0": "sin wbp",
}

# What Glottolog knows and the map of codes in URIEL+ lacks; members that stand for a macrolanguage.
GLOTTOCODES = {"cnr": "mont1282", "srd": "sard1257"}
PLACE_OF = {"kon": "kng", "hmn": "mww"}

RTL = set(
    """Arab Hebr Syrc Syrn Syre Syrj Thaa Nkoo Adlm Rohg Mend Samr Mand Aran Yezi Hung Khar Orkh Phnx Armi Avst
    Prti Phli Sarb Narb Lydi Cprt""".split()
)
DOWN = {"Mong", "Phag"}

# Words are not separated by spaces / we do not know; in all other scripts they are.
NO_SPACES = set("Thai Laoo Khmr Mymr Hans Hant Jpan Tibt Lana Tavt Java Bali Bugi Xsux Phag Goth".split())
SPACES_UNKNOWN = set("Yiii Vaii Batk Rjng Orkh Cakm Bamu Mend Wara Hmng Sylo".split())

# CLDR's native decimal digits of a script; every script that is not here writes the digits of Latn.
DIGITS = dict(
    pair.split(":")
    for pair in """Deva:deva Arab:arab Beng:beng Thai:thai Khmr:khmr Mymr:mymr Laoo:laoo Tibt:tibt Taml:tamldec
    Telu:telu Knda:knda Mlym:mlym Gujr:gujr Guru:guru Orya:orya Olck:olck Mtei:mtei Nkoo:nkoo Adlm:adlm Java:java
    Bali:bali Sund:sund Lana:lana Mong:mong Cakm:cakm Vaii:vaii Hmnp:hmnp Hmng:hmng Rohg:rohg Newa:newa Wara:wara
    Gonm:gonm Gong:gong Takr:takr Tirh:tirh Modi:modi Osma:osma Hans:hanidec Hant:hanidec""".split()
)
EXTENDED = {"Iranian", "Indic", "Turkic", "Dravidian"}  # genera that write the Arabic script with the digits ۰۱۲۳
NOT_EXTENDED = {"ckb", "sdh", "snd", "kmr"}


def split(scripts: str | None) -> set[str]:
    return {part.strip() for part in (scripts or "").split(",") if part.strip()}


def short(code: str) -> str:
    """The BCP-47 spelling of an ISO 639-3 code."""
    two = cldr.LANGUAGE_REPLACEMENTS.get(code, "")
    return {"tgl": "tl", "hbs": "sh"}.get(code, two if len(two) == 2 else code)


def long(code: str) -> str:
    return str(cldr.LANGUAGE_ALPHA3.get(code, code))


def scripts_of(row: dict[str, Any]) -> list[str]:
    """The scripts of a language, the usual one first."""
    code = row["iso639_3"]
    glot, meta = split(row["scripts_glotscript"]), split(row["scripts_linguameta"])
    listed = [tag[4:] for tag in FLORES if tag[:3] == code]
    likely = cldr.LIKELY_SUBTAGS.get(short(code), "--").split("-")[1]
    some = sorted((glot & meta) - RARE) or sorted((glot | meta) - RARE) or sorted(glot | meta)
    first = listed[0] if listed else USUAL.get(code) or (likely if likely in glot | meta else some[0])
    more = listed[1:] + sorted((glot & meta) - RARE) + [tag[4:] for tag in EXTRA if tag[:3] == code]
    elsewhere = " ".join(CODES.values()).split()  # pan_Arab is pnb_Arab
    return [script for script in dict.fromkeys([first, *more]) if f"{code}_{script}" not in elsewhere]


@cache
def glottolog() -> tuple[dict[str, str], dict[str, tuple[float, float]]]:
    """URIEL+'s edition of Glottolog: the glottocode of a code, and latitude and longitude by glottocode."""
    spec = find_spec("urielplus")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit('needs urielplus: pip install "isogloss[typology]"')
    folder = Path(spec.submodule_search_locations[0]) / "database" / "urielplus_csvs"
    of = pl.read_csv(folder / "uriel_glottocode_map.csv", infer_schema=False).drop_nulls()
    tree = pl.read_csv(folder / "lang_fam_geo.csv", infer_schema=False).select("language_id", "latitude", "longitude")
    places = {code: (float(lat), (float(lon) + 180) % 360 - 180) for code, lat, lon in tree.drop_nulls().iter_rows()}
    return dict(of.rows()), places


def place(code: str, facts: dict[str, Any]) -> tuple[str | None, float | None, float | None]:
    """Glottocode, latitude and longitude of a language."""
    glottocode, lat, lon = facts["glottocode"], facts["lat"], facts["lon"]
    if lat is None:
        of, places = glottolog()
        other = glottocode or GLOTTOCODES.get(code) or of.get(code)
        lat, lon = places.get(other or of.get(PLACE_OF.get(code, "")) or "", (None, None))
        glottocode = other
    return glottocode, None if lat is None else round(lat, 3), None if lon is None else round(lon, 3)


def speakers(code: str, given: int | None) -> int | None:
    """The number given, else CLDR's of the code that it writes the language with."""
    if given is not None:
        return given
    cldrs = (short(code), cldr.NORMALIZED_MACROLANGUAGES.get(short(code), "und"))
    return next((n for name in cldrs if (n := Language.get(name).speaking_population())), None)


def plain(name: str) -> str:
    for extra in (" (individual language)", " (macrolanguage)", " (International Auxiliary Language Association)"):
        name = name.replace(extra, "")
    return name


def endonym(code: str, script: str, usual: bool) -> str:
    """What the language calls itself in this script, empty when language-data does not say."""
    wide = cldr.NORMALIZED_MACROLANGUAGES.get(short(code), "")
    for base in (short(code), "" if code in ("fat", "twi") else wide):
        names = code_to_names(base)
        own = names.get(f"{base}-{script}") or (names.get(base) if usual else None)
        if own:
            return str(own)
    return ""


def rows_of(row: dict[str, Any], by_code: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    code = row["iso639_3"]
    like = by_code.get(LIKE.get(code, ""), {})
    facts = by_code["gug"] if code == "grn" else row
    family = facts["family"] or like.get("family") or ("isolate" if facts["glottocode"] else "")
    family = "" if family == "Bookkeeping" else family
    genus = facts["genus"] or like.get("genus") or {"Turkic": "Turkic", "Dravidian": "Dravidian"}.get(family, "")
    scripts = scripts_of(row)
    glottocode, latitude, longitude = place(code, facts)
    out = []
    for script in scripts:
        says_script = len(scripts) > 1 and (code in TWO_SCRIPTS or script != scripts[0])
        bcp47 = short(code) + (f"-{script}" if says_script else "")
        name = plain(Language.get(bcp47, normalize=False).display_name())
        digits = DIGITS.get(script, "latn")
        if script == "Arab" and genus in EXTENDED and code not in NOT_EXTENDED:
            digits = "arabext"
        out.append(
            {
                "tag": f"{code}_{script}",
                "name": name,
                "endonym": endonym(code, script, script == scripts[0]),
                "direction": "rtl" if script in RTL else "ttb" if script in DOWN else "ltr",
                "family": family,
                "genus": genus,
                "latitude": latitude,
                "longitude": longitude,
                "speakers": speakers(code, row["speakers_est"]),
                "resource": next((k for k, codes in RESOURCE.items() if code in codes.split()), ""),
                "macrolanguage": long(cldr.MACROLANGUAGES.get(short(code), "")),
                "spaces": "" if script in SPACES_UNKNOWN else int(script not in NO_SPACES),
                "digits": digits,
                "glottocode": glottocode,
                "bcp47": bcp47,
                "codes": CODES.get(f"{code}_{script}", ""),
            }
        )
    return out


def add_macrolanguages(table: list[dict[str, Any]]) -> None:
    """Read a macrolanguage as the individual language that CLDR names for it, where CODES does not say otherwise."""
    languages = {row["tag"][:3] for row in table}
    taken = {code for row in table for code in row["codes"].split()}
    for individual, wide in sorted(cldr.NORMALIZED_MACROLANGUAGES.items()):
        code, wide = long(individual), long(wide)
        first = next((row for row in table if row["tag"].startswith(code + "_")), None)
        if first and wide not in languages | taken:
            first["codes"] = f"{first['codes']} {wide}".strip()
            taken.add(wide)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ref", type=Path, help="the reference table, Parquet")
    parser.add_argument("out", type=Path, help="the table to write, TSV")
    args = parser.parse_args()
    ref = {row["iso639_3"]: row for row in pl.read_parquet(args.ref).to_dicts()}
    table = [new for code in sorted(set(ref) - NOT_ROWS) for new in rows_of(ref[code], ref)]
    add_macrolanguages(table)
    missing = sorted((set(FLORES) | set(CODES)) - {row["tag"] for row in table})
    if missing:
        raise SystemExit(f"no row for {', '.join(missing)}")
    lines = ["\t".join("" if row[c] is None else str(row[c]) for c in COLUMNS) for row in table]
    part = args.out.with_name(args.out.name + ".part")
    part.write_text("\n".join([NOTICE, "\t".join(COLUMNS), *lines, ""]), encoding="utf-8")
    part.replace(args.out)


if __name__ == "__main__":
    main()
