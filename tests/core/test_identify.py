"""Identifiers: grams that are the same everywhere, one contract behind all, stretches of words in other languages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isogloss.core import identify
from isogloss.core.identify import learning, py3, spans
from isogloss.core.identify.both import Both
from isogloss.core.identify.caution import doubted
from isogloss.core.identify.grams import KINDS, grams, normal, pieces
from isogloss.core.identify.letters import fits_script, own_text
from isogloss.core.identify.reading import Reading

KINDS_OF = ("both", "ngrams", "py3langid")
SAMPLE = {
    "eng_Latn": "The doctor will see you tomorrow morning at the clinic near the station.",
    "swh_Latn": "Daktari atakuona kesho asubuhi katika zahanati iliyo karibu na kituo.",
    "hin_Deva": "डॉक्टर आपको कल सुबह स्टेशन के पास वाले क्लिनिक में देखेंगे।",
    "tha_Thai": "แพทย์จะพบคุณพรุ่งนี้เช้าที่คลินิกใกล้สถานี",
    "jpn_Jpan": "明日の朝、駅の近くの診療所で医者があなたを診ます。",
    "arb_Arab": "سيراك الطبيب صباح الغد في العيادة القريبة من المحطة.",
    "rus_Cyrl": "Врач примет вас завтра утром в поликлинике рядом с вокзалом.",
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=6))
def test_grams_of_a_text_do_not_depend_on_its_neighbours(texts: list[str]) -> None:
    forms = [normal(text) for text in texts]
    whole = grams(forms)
    for i, form in enumerate(forms):
        alone = grams([form])
        assert np.array_equal(np.sort(whole.hash[whole.row == i]), np.sort(alone.hash))
        assert np.array_equal(whole.n[i], alone.n[0])
    assert whole.n.shape == (len(texts), KINDS)


def test_hashes_are_the_same_on_every_machine() -> None:
    """The packaged table is of no use otherwise."""
    assert grams([" the "]).hash[-1] == HASH_OF_THE


HASH_OF_THE = 2618098213


@pytest.mark.parametrize("kind", KINDS_OF)
def test_one_contract(kind: str) -> None:
    reader = identify.load(kind)  # type: ignore[arg-type]
    texts = [*SAMPLE.values(), "", "12", "ⴰⵣⵓⵍ ⴼⵍⵍⴰⵡⵏ"]
    reading = reader.read(texts)
    assert reading.tags == reader.tags and len(set(reader.tags)) == len(reader.tags)
    assert reading.probs.shape == (len(texts), len(reader.tags)) and reading.fits.shape == (len(texts),)
    assert ((reading.probs >= 0) & (reading.probs <= 1 + 1e-9)).all() and (
        (reading.fits >= 0) & (reading.fits <= 1)
    ).all()
    assert np.allclose(reading.probs[:7].sum(1), 1) and not reading.probs[7:].any() and not reading.fits[7:].any()
    assert [tag for tag, _ in reading.best()][:7] == [*SAMPLE] and reading.named()[7:] == ["unknown"] * 3
    assert sum(tag != "unknown" for tag in reading.named()[:7]) >= 6
    one = [reader.read([text]) for text in texts]
    assert np.allclose(np.concatenate([r.probs for r in one]), reading.probs), "a text is read alone"
    assert reader.read([]).probs.shape == (0, len(reader.tags))


@pytest.mark.parametrize("kind", KINDS_OF)
def test_among_names_nothing_else(kind: str) -> None:
    reader = identify.load(kind)  # type: ignore[arg-type]
    few = ["eng_Latn", "hin_Deva"]
    reading = reader.read([*SAMPLE.values()], few)
    others = [i for i, tag in enumerate(reader.tags) if tag not in few]
    assert not reading.probs[:, others].any()
    named = reading.named()
    assert set(named) <= {*few, "unknown"} and named[0] in ("eng_Latn", "unknown") and named[2] == "hin_Deva"
    assert named[1] == "unknown" and named[3:] == ["unknown"] * 4
    assert set(reader.read([*SAMPLE.values()], []).named()) == {"unknown"}


class Says:
    """An identifier that says what it is told to."""

    def __init__(self, tags: tuple[str, ...], probs: list[float], fit: float) -> None:
        self.name, self.tags, self.probs, self.fit = "says", tags, np.array(probs), fit

    def read(self, texts: list[str], among: list[str] | None = None) -> Reading:
        kept = self.probs * np.array([among is None or tag in among for tag in self.tags])
        kept = kept / kept.sum() if kept.sum() else kept
        return Reading(self.tags, np.tile(kept, (len(texts), 1)), np.full(len(texts), self.fit * bool(kept.sum())))


def test_a_relative_is_no_evidence_against_a_relative() -> None:
    first = Says(("hrv_Latn", "eng_Latn"), [0.98, 0.02], 0.9)
    reading = Both(first, Says(("hrv_Latn", "srp_Latn", "eng_Latn"), [0.4, 0.59, 0.01], 0.9)).read(["x"])
    assert reading.named() == ["hrv_Latn"] and reading.fits[0] > 0.9
    stranger = Says(("hrv_Latn", "eng_Latn"), [0.6, 0.4], 0.02)
    assert Both(stranger, Says(("hrv_Latn", "pol_Latn"), [0.01, 0.99], 0.95)).read(["x"]).named() == ["pol_Latn"]
    assert Both(stranger, Says(("hrv_Latn", "pol_Latn"), [0.5, 0.5], 0.05)).read(["x"]).named() == ["unknown"]


def test_a_text_is_doubted_where_many_speak_a_relative_that_is_not_known() -> None:
    long, short = [70], [3]
    tags = ("nob_Latn", "tam_Taml")
    reading = Reading(tags, np.array([[0.9, 0.1]]), np.array([0.8]))
    lowered = doubted(reading, long, None, 0.0, 3.0)
    assert lowered.fits[0] < 0.5 < reading.fits[0] and np.array_equal(lowered.probs, reading.probs)
    kin = Reading((*tags, "dan_Latn", "swe_Latn", "nno_Latn"), np.array([[0.9, 0.1, 0, 0, 0]]), np.array([0.8]))
    assert doubted(kin, long, None, 0.0, 3.0).fits[0] > 0.7, "all relatives are known"
    assert doubted(kin, long, ["nob_Latn"], 0.0, 3.0).fits[0] < 0.5, "but may not be named"
    assert doubted(reading, short, None, 0.0, 3.0).fits[0] > 0.7, "a short text is doubted less"
    nothing = Reading(tags, np.zeros((1, 2)), np.zeros(1))
    assert doubted(nothing, [0], None, 0.5, 3.0).fits.tolist() == [0.0]


def test_sorani_is_no_southern_kurdish_and_yiddish_no_hebrew() -> None:
    reader = identify.load("both")
    sorani = "هەموو مرۆڤەکان بە ئازادی و یەکسانی لە شکۆ و مافدا لە دایک دەبن"
    yiddish = "יעדער מענטש ווערט געבוירן פֿרײַ און גלײַך אין כּבֿוד און רעכט"
    hebrew = "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם"
    assert reader.read([sorani, yiddish, hebrew]).named() == ["ckb_Arab", "unknown", "heb_Hebr"]


def test_py3langid_reads_as_it_does_itself() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    theirs, ours = LanguageIdentifier.from_model_file(MODEL_FILE), py3.packaged()
    texts = [*SAMPLE.values(), "", "ABC DEF", "cafe\u0301 au lait", "x" * 4000]
    scores = ours.look(texts).score
    for text, own in zip(texts, scores, strict=True):
        raw = theirs._raw_score(theirs._encode(pieces(text)))
        if np.isfinite(raw).all() and raw.min() > -1e30:
            assert np.allclose(own, raw, rtol=1e-4, atol=1e-3)


def test_scripts_decide_who_may_be_named() -> None:
    tags = ("jpn_Jpan", "zho_Hans", "zho_Hant", "kor_Kore", "rus_Cyrl", "eng_Latn")
    rows = fits_script(
        ["汉语语法学会", "漢語語法學會", "これは日本語の文章です", "한국어 문장입니다", "привет", "hi", "..."], tags
    )
    found = [[tag for tag, ok in zip(tags, row, strict=True) if ok] for row in rows.tolist()]
    assert "zho_Hans" in found[0] and "zho_Hant" not in found[0] and not {"rus_Cyrl", "eng_Latn"} & {*found[0]}
    assert "zho_Hant" in found[1] and "zho_Hans" not in found[1]
    assert found[2:] == [["jpn_Jpan"], ["kor_Kore"], ["rus_Cyrl"], ["eng_Latn"], []]
    assert own_text("see https://a.example/b?c=d or me@x.org, @you") == "see   or  ,  "


def test_words_in_another_language_are_found() -> None:
    model = identify.packaged()
    texts = [
        "मुझे लगता है कि this is the best option क्योंकि कल बारिश होगी",
        "Daktari atakuona kesho asubuhi, the doctor will see you in the morning",
        SAMPLE["swh_Latn"],
        "",
        "ⴰⵣⵓⵍ ⴼⵍⵍⴰⵡⵏ the doctor will see you",
        SAMPLE["tha_Thai"] + " with my mother tomorrow morning",
    ]
    found = spans.spans(model, texts, ["hin_Deva", "swh_Latn", "swh_Latn", None, None, "tha_Thai"])
    assert [*found[0].shares()] == ["hin_Deva", "eng_Latn"] and 0.3 < found[0].other("hin_Deva") < 0.6
    assert {*found[1].shares()} == {"swh_Latn", "eng_Latn"} and 0.3 < found[1].other("swh_Latn") < 0.7
    assert found[2].other("swh_Latn") == 0 and found[3].words == ()
    assert "unknown" in found[4].shares() and "eng_Latn" in found[4].shares()
    assert found[5].shares()["eng_Latn"] > 0.2 and found[5].shares()["tha_Thai"] > 0.4
    assert all(abs(sum(one.shares().values()) - 1) < 1e-9 for one in found if one.words)


def test_what_is_read_of_a_language_is_bounded() -> None:
    rows = [
        ("eng_Latn", f"{i} {chr(97 + i % 26)}{chr(97 + i // 26 % 26)} {SAMPLE['eng_Latn']}", None) for i in range(600)
    ]
    few = learning.gather(rows, most_chars=10_000)["eng_Latn"]
    assert 0 < few.n_chars <= 10_000
    assert learning.gather(reversed(rows), most_chars=10_000)["eng_Latn"].n_chars == few.n_chars
    long = learning.gather([("eng_Latn", "word " * 100_000, None)])["eng_Latn"]
    assert long.n_chars <= learning.LONG + 10
