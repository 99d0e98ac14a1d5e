"""Personal data found and wrongly found: gold of Recognizers-Text, planted spans by script, false positives by language.

    python benchmarks/pii.py [--data ../shared/data] [--half odd|even|all] [--text flores200] [--show] [--json]

**Gold**: the specifications `Sequence` for e-mail, URL, IP and telephone. A span counts when it is the same characters. Rules were chosen on
the rows whose id has an even hash; `--half odd` (the default) reports the others.

**Planted**: in rows of every script (FLORES-200 is not among them; where the packs lack a script, rows of CLDR's words as in `dedup.py`) one span
each: e-mail, URL, IP, a valid telephone number of a country of the language (with country code, and as it is dialled inside a country of the language, where that is known), a card, an IBAN,
a national number that passes its check, in the digits of the language in every second row. No word announces it.

**False positives**: everything that is found in `--text`, news and encyclopedia of 61 languages that have hardly any personal data, for
100,000 characters.

**Hostile lines**: one line of 200,000 characters of one pattern again and again. Seconds of processor over those of half the line, 2 where
cost is linear, and over those of as many characters of news; the least of three times each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from dedup import from_cldr, sentences
from isogloss.core.pii.find import KINDS, find, homes_of

MODELS = {"EmailModel": "email", "URLModel": "url", "IpAddressModel": "ip", "PhoneNumberModel": "phone"}


def scores(n: Counter[Any], key: Any) -> dict[str, Any]:
    right, wrong, missed = n[key, "right"], n[key, "wrong"], n[key, "missed"]
    return {
        "right": right,
        "wrong": wrong,
        "missed": missed,
        "f1": round(2 * right / max(1, 2 * right + wrong + missed), 4),
    }


# -- gold -------------------------------------------------------------------------------------------------------


def gold(data: Path, half: str, show: bool) -> dict[str, Any]:
    frame = pl.read_parquet(data / "standardize_specs.parquet").filter(pl.col("model").is_in(list(MODELS)))
    n: Counter[Any] = Counter()
    for row in frame.iter_rows(named=True):
        even = hashlib.blake2b(row["id"].encode()).digest()[0] % 2 == 0
        if half != "all" and even != (half == "even"):
            continue
        kind = MODELS[row["model"]]
        results = json.loads(row["results"])
        wanted = {(r["start"], r["end_inclusive"] + 1) for r in results}
        got = {(s.start, s.end) for s in find(row["text"], row["lang"]) if s.kind == kind}
        for key in (kind, ("lang", row["lang"]), "all", ("upstream", not row["upstream_unsupported"])):
            n[key, "right"] += len(wanted & got)
            n[key, "wrong"] += len(got - wanted)
            n[key, "missed"] += len(wanted - got)
        if show and wanted != got:
            print(
                "   ",
                kind,
                row["lang"],
                repr(row["text"]),
                "WANTED",
                [row["text"][a:b] for a, b in wanted - got],
                "GOT",
                [row["text"][a:b] for a, b in got - wanted],
            )
    found = {str(key): scores(n, key) for key in sorted({key for key, _ in n}, key=str)}
    print(f"gold, half {half}")
    for name, value in found.items():
        print(
            f"  {name:<22} F1 {value['f1']:.3f}  right {value['right']:,}, wrong {value['wrong']:,}, missed {value['missed']:,}"
        )
    return found


# -- planted ----------------------------------------------------------------------------------------------------


def digits_of(lang: str) -> str:
    """The ten digits of a script of its own, or ASCII's."""
    zero = {
        "Arab": 0x660, "Deva": 0x966, "Beng": 0x9E6, "Guru": 0xA66, "Gujr": 0xAE6, "Orya": 0xB66, "Taml": 0xBE6, "Telu": 0xC66,
        "Knda": 0xCE6, "Mlym": 0xD66, "Thai": 0xE50, "Laoo": 0xED0, "Tibt": 0xF20, "Mymr": 0x1040, "Khmr": 0x17E0, "Nkoo": 0x7C0,
        "Olck": 0x1C50, "Adlm": 0x1E950, "Cakm": 0x11136, "Hans": 0xFF10, "Jpan": 0xFF10, "Hang": 0xFF10,
    }.get(lang[4:], 0x30)  # fmt: skip
    if lang in ("pes_Arab", "urd_Arab", "pbt_Arab", "kas_Arab", "snd_Arab"):
        zero = 0x6F0
    return "".join(chr(zero + i) for i in range(10))


def planted_values(lang: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """One of each kind: (kind, text)."""
    import phonenumbers
    from stdnum import iban, luhn

    name = rng.choice(["anna.k", "li_wei", "o.hassan99", "mbali", "x-y+z"])
    host = rng.choice(["mail.org", "post.example-site.de", "uni-a.ac.in", "kontor.co.uk", "yandex.ru"])
    yield "email", f"{name}@{host}"
    yield "url", rng.choice([f"https://{host}/a/{rng.randint(1, 999)}?q=1", f"www.{host}", f"{host}/seite"])
    yield (
        "ip",
        rng.choice(
            [
                ".".join(str(rng.randint(1, 254)) for _ in range(4)),
                f"2001:db8:{rng.randint(1, 9999):x}::{rng.randint(1, 99)}",
            ]
        ),
    )
    prefix, n = rng.choice([("4", 16), ("51", 16), ("37", 15), ("6011", 16)])
    body = prefix + "".join(str(rng.randrange(10)) for _ in range(n - 1 - len(prefix)))
    card = body + luhn.calc_check_digit(body)
    yield "card", " ".join(re.findall("....", card)) if n == 16 and rng.random() < 0.5 else card
    while True:
        account = "DE" + "00" + "".join(str(rng.randrange(10)) for _ in range(18))
        account = "DE" + iban.calc_check_digits(account) + account[4:]
        if iban.is_valid(account):
            break
    yield "iban", iban.format(account) if rng.random() < 0.5 else account
    homes = homes_of(lang)
    world = phonenumbers.example_number_for_type(
        rng.choice(["US", "DE", "IN", "BR", "NG", "JP"]), phonenumbers.PhoneNumberType.MOBILE
    )
    numbers = [phonenumbers.example_number_for_type(home, phonenumbers.PhoneNumberType.MOBILE) for home in homes]
    numbers = [number for number in numbers if number]
    number = rng.choice(numbers or [world])
    changed = phonenumbers.PhoneNumber(
        number.country_code, int(str(number.national_number)[:-3] + f"{rng.randrange(1000):03}")
    )
    number = changed if phonenumbers.is_valid_number(changed) else number
    yield "phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    if numbers:
        yield "national phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    module, form = rng.choice(
        [
            ("br.cpf", "ddd.ddd.ddd-dd"),
            ("us.ssn", "ddd-dd-dddd"),
            ("in_.aadhaar", "dddd dddd dddd"),
            ("es.dni", "ddddddddL"),
            ("cn.ric", "11010119dd0dddddd1"),
            ("kr.rrn", "8dd1dd-1dddddd"),
            ("th.pin", "d-dddd-ddddd-dd-d"),
            ("fr.nir", "1dd0dddddddddcc"),
        ]
    )
    yield "id", numbered(module, form, rng)


def numbered(module: str, form: str, rng: random.Random) -> str:
    """A number of this form that passes its check."""
    import importlib

    checker = importlib.import_module(f"stdnum.{module}")
    while True:
        text = "".join(
            str(rng.randrange(10)) if c in "dc" else rng.choice("ABCDEFGHJKLMNPQRSTVWXYZ") if c == "L" else c
            for c in form
        )
        if checker.is_valid(text):
            return text


def planted(data: Path, show: bool, seed: int = 3) -> dict[str, Any]:
    texts: dict[str, list[str]] = {}
    for name in ("sib", "tico", "udhr"):
        for lang, some in sentences(name, data).items():
            texts.setdefault(lang, []).extend(some[:60])
    for lang, some in from_cldr():
        if len(texts.get(lang, [])) < 30:
            texts.setdefault(lang, []).extend(some[:60])
    n: Counter[Any] = Counter()
    for lang in sorted(texts):
        rng = random.Random(f"{seed}{lang}")
        rows = [text for text in texts[lang] if not find(text, lang)]  # what is found without a span is counted below
        rng.shuffle(rows)
        own = digits_of(lang)
        for i in range(5):
            for j, (kind, value) in enumerate(planted_values(lang, rng)):
                if (i + j) % 2 and kind not in ("email", "url"):
                    value = value.translate({ord(str(d)): own[d] for d in range(10)})
                row = rows[(i * 9 + j) % len(rows)]
                spaces = [m.start() for m in re.finditer(" ", row)] or [0, len(row)]
                at = rng.choice(spaces)
                start = at + 1
                text = f"{row[:at]} {value} {row[at:].lstrip()}"
                got = {(s.start, s.end, s.kind) for s in find(text, lang)}
                want = (start, start + len(value), kind.split()[-1])
                for key in (
                    ("kind", kind),
                    ("script", lang[4:]),
                    ("lang", lang),
                    "all",
                    *([] if kind == "national phone" else ["without national phones"]),
                ):
                    n[key, "right"] += want in got
                    n[key, "missed"] += want not in got
                    n[key, "wrong"] += len(got - {want})
                if show and got != {want}:
                    print(
                        "   ",
                        lang,
                        kind,
                        repr(text[max(0, at - 20) : at + len(value) + 20]),
                        [(text[a:b], k) for a, b, k in got],
                    )
    found = {str(key): scores(n, key) for key in sorted({key for key, _ in n}, key=str)}
    print(f"planted: {len(texts)} languages in {len({lang[4:] for lang in texts})} scripts")
    for name, value in found.items():
        if not name.startswith("('lang'"):
            print(
                f"  {name:<28} F1 {value['f1']:.3f}  right {value['right']:,}, wrong {value['wrong']:,}, missed {value['missed']:,}"
            )
    low = min((v["f1"] for k, v in found.items() if k.startswith("('script'")), default=0)
    print(f"  worst script {low:.3f}")
    return found


# -- false positives --------------------------------------------------------------------------------------------


def wrong(data: Path, name: str, show: bool) -> dict[str, Any]:
    column = "context" if name == "xquad" else "text"
    frame = (
        pl.read_parquet(data / f"{name}.parquet").select("lang", text=column).drop_nulls().unique(maintain_order=True)
    )
    chars: Counter[str] = Counter()
    n: Counter[tuple[str, str]] = Counter()
    seen: dict[str, list[str]] = {}
    for lang, text in frame.iter_rows():
        chars[lang] += len(text)
        for span in find(text, lang):
            n[lang, span.kind] += 1
            seen.setdefault(span.kind, []).append(f"{lang} {text[span.start : span.end]}")
    by = {
        lang: {
            "per_100k": round(sum(n[lang, kind] for kind in KINDS) * 1e5 / chars[lang], 2),
            **{kind: n[lang, kind] for kind in KINDS if n[lang, kind]},
        }
        for lang in sorted(chars, key=lambda lang: -sum(n[lang, kind] for kind in KINDS) / chars[lang])
    }
    total = sum(n.values())
    print(
        f"found in {name}: {total:,} in {sum(chars.values()):,} characters of {len(chars)} languages, {total * 1e5 / sum(chars.values()):.2f} for 100,000"
    )
    print(
        "  worst: "
        + ", ".join(
            f"{lang} {value['per_100k']} {dict(list(value.items())[1:])}" for lang, value in list(by.items())[:8]
        )
    )
    print("  by kind: " + ", ".join(f"{kind} {sum(n[lang, kind] for lang in chars)}" for kind in KINDS))
    if show:
        for kind, some in seen.items():
            print("   ", kind, Counter(some).most_common(60))
    return {"all": round(total * 1e5 / sum(chars.values()), 3), "langs": by}


HOSTILE = {
    "12 12 12": "12 ", "777777": "7", "+49 +49": "+49 ", "1 with invisible characters": "1\u200b", "a.a.a.a": "a.", "a@a@a@a": "a@",
    "a [at] a [at]": "a [at] ", "www.www.": "www.", "a:a:a:a": "a:", "DE89 DE89": "DE89 ", "aaaaaa": "a",
}  # fmt: skip


def hostile(data: Path, n: int = 200_000) -> dict[str, Any]:
    """Growth of the cost of one line when it doubles, and the cost beside news."""
    from isogloss.parts.steps import pii

    def seconds(pattern: str, size: int) -> float:
        text, took = (pattern * (size // len(pattern) + 1))[:size], []
        for _ in range(3):
            begin = time.process_time()
            pii.apply(pl.DataFrame({"text": [text], "lang": ["eng_Latn"]}))
            took.append(time.process_time() - begin)
        return min(took)

    news = pl.read_parquet(data / "flores200.parquet").filter(pl.col("lang") == "eng_Latn")["text"].to_list()
    usual = seconds(" ".join(news), n)
    found = {}
    print(f"\nhostile lines of {n:,} characters      twice as long costs      times news")
    for name, pattern in HOSTILE.items():
        half, whole = seconds(pattern, n // 2), seconds(pattern, n)
        found[name] = {"growth": whole / max(half, 1e-4), "beside_news": whole / max(usual, 1e-4)}
        print(f"{name:34} {found[name]['growth']:18.1f} {found[name]['beside_news']:18.1f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1].parent / "shared" / "data")
    parser.add_argument("--half", choices=("odd", "even", "all"), default="odd")
    parser.add_argument("--text", default="flores200")
    parser.add_argument("--show", action="store_true", help="print what was missed and what was found wrongly")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    out = {
        "gold": gold(given.data, given.half, given.show),
        "planted": planted(given.data, given.show),
        "wrong": wrong(given.data, given.text, given.show),
        "hostile": hostile(given.data),
    }
    if given.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
