"""plan and models, from outside: five projects, the user's own data, what is wrong in the question, what is spent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isogloss.core import catalogue
from isogloss.core import recipe as recipes
from isogloss.core.errors import InputError, MissingError
from isogloss.core.say import Say
from isogloss.stages import plan as stage
from isogloss.stages.checkup import measure
from isogloss.stages.planning import need
from places import Place, Said, shell, write_jsonl

Cli = Callable[..., Said]
Projects = Callable[[str], tuple[dict[str, Any], Path]]
SIXTY = (
    "eng fra spa deu por ita nld pol ron ces hun swe dan nob fin ell bul rus ukr srp hrv slk slv lit lvs est tur azj kaz "
    "uzn arb heb pes urd hin ben pan guj mar tam tel kan mal sin npi mya tha lao khm vie ind zsm tgl zho jpn kor swa amh "
    "yor hau"
).replace(" ", ",")
PROJECTS: dict[str, tuple[str, ...]] = {
    "health": ("--task", "intake", "--domain", "health", "--langs", "eng,swa,amh,yor,hau", "--machine", "laptop",
               "--budget", "8h, 1,500 labels"),
    "finance": ("--task", "headlines", "--domain", "finance", "--langs", "eng,deu,fra,spa,ita,por,zho,jpn,kor,tur",
                "--machine", "1x24GB", "--price", "0.5 EUR/h"),
    "legal": ("--task", "ner", "--domain", "legal", "--langs", "ell,mlt", "--machine", "1x24GB"),
    "chat": ("--task", "chatbot", "--langs", "amh,tir", "--machine", "1x24GB"),
    "routing": ("--task", "routing", "--langs", SIXTY, "--machine", "cpu 32GB 8 cores", "--latency", "20"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


def planned(cli: Cli, *arguments: str) -> dict[str, Any]:
    said = cli("plan", *arguments, "--json")
    assert said.code == 0, said.err
    return said.json  # type: ignore[no-any-return]


def answers(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan[key] for key in ("sources", "model", "tokenizer", "labels", "method", "evaluation")]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    """The plan of a project, and the folder in which it lies; each is made once."""
    made: dict[str, tuple[dict[str, Any], Path]] = {}

    def of(name: str) -> tuple[dict[str, Any], Path]:
        if name not in made:
            at = tmp_path_factory.mktemp(name)
            said = shell("plan", *PROJECTS[name], "--name", name, "--out", "out", "--json", cwd=at)
            assert said.code == 0, said.err
            made[name] = said.json, at / "out"
        return made[name]

    return of


@pytest.mark.parametrize("name", PROJECTS)
def test_a_plan_is_whole_whatever_the_project(projects: Projects, name: str) -> None:
    plan, out = projects(name)
    for each in answers(plan):  # no recommendation without evidence, uncertainty and the next best choice
        assert each["choice"]
        assert each["evidence"]
        assert all(each["evidence"])
        assert each["uncertainty"]
        assert each["next_best"]
        assert all(other["choice"] and other["why"] for other in each["next_best"])
    langs = list(plan["asked"]["langs"])
    assert [row["lang"] for row in plan["labels"]["langs"]] == langs
    assert [row["lang"] for row in plan["evaluation"]["langs"]] == langs  # nobody is left out of the evaluation
    assert plan == json.loads((out / "plan.json").read_text(encoding="utf-8"))
    page = (out / "PLAN.md").read_text(encoding="utf-8")
    assert all(f"`{tag}`" in page for tag in langs)
    assert "*uncalibrated*" in page
    assert not plan["method"]["calibrated"]
    for line in page.splitlines():  # no row of a table is torn
        assert not line.startswith("|") or line.endswith("|")
    made = recipes.read(out / f"{name}.toml")  # as `isogloss run` reads it
    assert list(made.langs or ()) == langs
    assert {gate.at for gate in made.gate} == {"train", "promote"}
    for way in plan["method"]["methods"].values():
        if way["fits"]:
            assert 0 < way["trainable_share"] <= 1
            assert way["seconds_low"] < way["seconds"] < way["seconds_high"]


def test_health_intake_on_a_laptop(projects: Projects) -> None:
    plan, _ = projects("health")
    assert plan["model"]["name"] == "Davlan/afro-xlmr-base"  # XLM-R has not read Yoruba; this one was made for all five
    assert plan["model"]["row"]["commercial"]
    assert plan["labels"]["to_buy"] == 1500
    buys = {row["lang"]: row["buy"] for row in plan["labels"]["langs"]}
    assert all(buy["train"] >= 100 and buy["test"] >= 100 and buy["dev"] > 0 for buy in buys.values())
    assert any("urgent" in note for note in plan["notes"])
    assert plan["method"]["methods"]["full"]["memory_bytes_total"] < 13.5e9


def test_finance_headlines_on_one_card(projects: Projects) -> None:
    plan, _ = projects("finance")
    assert plan["model"]["name"] == "microsoft/mdeberta-v3-base"
    assert plan["model"]["lacks"] == []
    assert plan["evaluation"]["monolingual"]["eng_Latn"] == "ProsusAI/finbert"  # a baseline, and no base
    full = plan["method"]["methods"]["full"]
    assert full["money"] == pytest.approx(0.5 * full["seconds"] / 3600, abs=0.01)
    assert full["memory_bytes_total"] < 24e9


def test_legal_entities_in_greek_and_maltese(projects: Projects) -> None:
    plan, _ = projects("legal")
    assert plan["model"]["name"] == "joelniklaus/legal-xlm-roberta-base"  # legal text of both; XLM-R has no Maltese
    assert plan["model"]["row"]["unsure"]  # its licence is said two ways, and the plan says so
    assert "licence" in plan["model"]["uncertainty"]
    assert plan["evaluation"]["metrics"][0].startswith("entity-level F1")
    assert plan["evaluation"]["monolingual"]["mlt_Latn"] == "MLRS/BERTu"
    assert any(
        other["choice"] == "MLRS/BERTu" and "forbids commercial" in other["why"] for other in plan["model"]["next_best"]
    )
    assert not plan["trains_today"]
    assert plan["instead"]["task"] == "classify"
    assert not any(way["runs_today"] for way in plan["method"]["methods"].values())


def test_a_chatbot_in_a_language_that_no_model_writes(projects: Projects) -> None:
    plan, _ = projects("chat")
    assert any("Tigrinya" in note and "speakers" in note for note in plan["notes"])
    assert plan["model"]["lacks"] == ["tir_Ethi"]
    assert plan["model"]["row"]["head"] == "chat"
    assert "tir_Ethi" in plan["tokenizer"]["choice"]
    assert plan["sources"]["langs"] == ["amh_Ethi"]
    assert plan["labels"]["curve"] is None  # nothing was measured, and nothing is made up
    assert "not known here at all" in plan["labels"]["uncertainty"]
    assert plan["instead"]["task"] == "classify"


def test_routing_in_production(projects: Projects, cli: Cli) -> None:
    plan, _ = projects("routing")
    assert len(plan["asked"]["langs"]) == 60
    assert plan["model"]["milliseconds_a_text"] < 20
    assert plan["model"]["row"]["parameters"] < 150e6
    ask = ("--task", "route", "--langs", "eng,yor,tir", "--machine", "cpu 32GB 8 cores", "--out", "-", "--latency")
    assert planned(cli, *ask, "2000")["model"]["lacks"] == []
    none = planned(cli, *ask, "0.01")  # no model is so fast
    assert none["model"]["name"] is None
    assert none["model"]["next_best"]


def test_it_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom isogloss.cli import main\n"
        f"try:\n    main(['plan', *{list(PROJECTS['legal'])!r}])\n"
        "except SystemExit as done:\n    assert not done.code, done.code\n"
        "sys.exit(3 if {'torch', 'transformers', 'sklearn', 'urielplus'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--task", "classify", "--langs", "xx-none,swh"), "'xx-none' is no language"),
        (("--task", "classify", "--langs", ","), "--langs is empty"),
        (("--task", "clasify", "--langs", "swh"), "did you mean 'classify'"),
        (("--langs", "swh"), "a plan is of a task"),
        (("--task", "classify"), "no language is named"),
        (("--task", "classify", "--langs", "swh", "--machine", "toaster"), "'toaster' is no machine"),
        (("--task", "classify", "--langs", "swh", "--budget", "8 bananas"), "what '8 bananas' is"),
        (("--task", "classify", "--langs", "swh", "--budget", "0h"), "leaves no time"),
        (("--task", "classify", "--langs", "swh", "--budget", "8h, 2h"), "says twice"),
        (("--task", "classify", "--langs", "swh", "--budget", "9 EUR", "--price", "1 USD/h"), "give both in one"),
        (("--task", "classify", "--langs", "swh", "--price", "5"), "'5' is no price"),
        (("--task", "classify", "--langs", "swh", "--domain", "cooking"), "for the domain 'cooking'"),
        (("--task", "classify", "--langs", "swh", "--licence", "free"), "'commercial' (the default) or 'any'"),
        (("--task", "classify", "--langs", "swh", "--width", "2"), "half of an interval"),
        (("--task", "classify", "--langs", "swh", "--model", "xlm-robrta-base"), "did you mean"),
        (("nowhere.toml",), "there is no recipe nowhere.toml"),
        (("--task", "classify", "--langs", "swh", "--machine", "laptop", "--probe"), "--machine names another"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = cli("plan", *arguments)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "plans").exists()


def model_folder(tmp_path: Path, name: str) -> Path:
    """A copy of the model in the package, without its weights."""
    from isogloss.stages.planning import forecast

    folder = tmp_path / name
    shutil.copytree(forecast.folder_of("isogloss/mini", Path), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def test_a_tokenizer_cut_in_half_and_a_config_without_a_key(cli: Cli, tmp_path: Path) -> None:
    ask = ("plan", "--task", "classify", "--langs", "eng,swh", "--out", "-", "--model")
    whole = model_folder(tmp_path, "whole")
    assert cli(*ask, whole).code == 0
    text = (whole / "tokenizer.json").read_text(encoding="utf-8")
    cut = model_folder(tmp_path, "cut")
    (cut / "tokenizer.json").write_text(text[: len(text) // 2], encoding="utf-8")
    done = cli(*ask, cut)
    assert done.code == 2
    assert "is not whole JSON" in done.err
    config = json.loads((whole / "config.json").read_text(encoding="utf-8"))
    del config["hidden_size"]
    lacking = model_folder(tmp_path, "lacking")
    (lacking / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = cli(*ask, lacking)
    assert done.code == 2
    assert "'hidden_size', the width of its states" in done.err
    (lacking / "config.json").unlink()
    assert "there is no" in cli(*ask, lacking).err


@pytest.mark.parametrize(("text", "said"), [("", "there is none"), ('{"text": "half a ro', "broken JSON")])
def test_an_empty_sample(cli: Cli, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "r.toml").write_text('langs = ["eng"]\n[data]\nraw = ["rows.jsonl"]\n', encoding="utf-8")
    done = cli("plan", "r.toml")
    assert done.code == 2
    assert "no row of rows.jsonl can be used" in done.err
    assert said in done.err


def test_a_typo_in_the_recipe_has_its_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('langs = ["eng", "swh"]\n[train]\nepoch = 3\n', encoding="utf-8")
    done = cli("plan", "r.toml")
    assert done.code == 2
    assert "r.toml:3: train.epoch" in done.err
    assert "did you mean 'epochs'" in done.err


def test_the_recipe_asked_about_is_not_written_over(cli: Cli, tmp_path: Path) -> None:
    text = 'name = "r"\ntask = "classify"\nlangs = ["eng", "swh"]\n'
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    done = cli("plan", "r.toml", "--out", ".")
    assert done.code == 2
    assert (tmp_path / "r.toml").read_text(encoding="utf-8") == text
    assert cli("plan", "r.toml").code == 0
    assert recipes.read(tmp_path / "plans/r/r.toml").name == "r"


# -- the user's own rows ----------------------------------------------------------------------------------------


def test_rows_that_are_there_are_counted_and_what_the_user_wrote_stays(cli: Cli, place: Place) -> None:
    text = place.recipe.read_text(encoding="utf-8")
    plan = planned(cli, str(place.recipe), "--model", "isogloss/mini", "--out", str(place.folder / "p"))
    rows = {row["lang"]: row for row in plan["labels"]["langs"]}
    assert plan["asked"]["rows"] == sum(sum(row["have"].values()) for row in rows.values())
    assert all(row["have"]["train"] > 0 for row in rows.values())
    assert plan["tokenizer"]["langs"]  # audited on the rows themselves
    assert "of your texts" in plan["tokenizer"]["on"]
    assert "counted in" in " ".join(plan["method"]["evidence"])
    made = recipes.read(place.folder / "p" / f"{plan['name']}.toml")
    asked = recipes.read(place.recipe)
    assert made.data.raw != asked.data.raw  # the same files, as they are called from there
    assert {made.locate(raw.path).resolve() for raw in made.data.raw} == {
        asked.locate(raw.path).resolve() for raw in asked.data.raw
    }
    assert made.seed == asked.seed
    assert made.data.steps == asked.data.steps
    assert place.recipe.read_text(encoding="utf-8") == text


def test_rows_without_labels_are_to_be_labelled_first(cli: Cli, tmp_path: Path) -> None:
    rows = [{"text": f"hujambo {i} habari ya leo", "lang": "swh"} for i in range(40)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    (tmp_path / "r.toml").write_text('task = "classify"\n[data]\nraw = ["rows.jsonl"]\n', encoding="utf-8")
    plan = planned(cli, "r.toml", "--out", "-")
    assert list(plan["asked"]["langs"]) == ["swh_Latn"]
    assert plan["labels"]["langs"][0]["unlabelled"] == 40
    assert any("have no label yet" in words for words in plan["labels"]["evidence"])


def test_own_few_shot_runs_replace_the_curves(cli: Cli, tmp_path: Path) -> None:
    cells = {"0": 0.40, "50": 0.60, "100": 0.70}
    points = {n: {"value": value, "low": value - 0.05, "high": value + 0.05} for n, value in cells.items()}
    document = {
        "name": "own",
        "better": "higher",
        "langs": [{"lang": tag, "points": points} for tag in ("swh_Latn", "hau_Latn")],
    }
    (tmp_path / "runs" / "own").mkdir(parents=True)
    (tmp_path / "runs" / "own" / "few-shot.json").write_text(json.dumps(document), encoding="utf-8")
    ask = ("--task", "classify", "--langs", "eng,swh,hau", "--out", "-")
    own, others = planned(cli, *ask, "--name", "own"), planned(cli, *ask, "--name", "other")
    assert "few-shot runs of own" in own["labels"]["curve"]["on"]
    assert "few-shot runs" not in others["labels"]["curve"]["on"]
    first = {row["lang"]: row["first_hundred"]["points"] for row in own["labels"]["langs"]}
    assert first["swh_Latn"] == pytest.approx(30, abs=4)


def test_labels_follow_the_budget_and_the_money(cli: Cli) -> None:
    ask = ("--task", "classify", "--langs", "eng,swh,tir", "--machine", "1x24GB", "--out", "-")
    plan = planned(cli, *ask, "--budget", "777 labels")
    assert plan["labels"]["to_buy"] == 777
    plan = planned(cli, *ask, "--budget", "100 EUR", "--price", "0.25 EUR/label", "--price", "2 EUR/h")
    assert plan["labels"]["to_buy"] == 400
    zero = planned(cli, *ask, "--budget", "0 labels")
    assert zero["labels"]["to_buy"] == 0
    assert zero["evaluation"]["proxies"]  # languages without test rows have proxies, each with how far off it is
    assert all(each["off"] for each in zero["evaluation"]["proxies"])
    assert {each["tag"] for each in zero["evaluation"]["proxies"]} == {"eng_Latn", "swh_Latn", "tir_Ethi"}


def test_money_bounds_the_time_that_a_method_may_take() -> None:
    ask = {"task_name": "classify", "langs": ["eng"], "machine": "1x24GB"}
    assert need.need(**ask, budget_text="1 EUR", price=["2 EUR/h"]).seconds == 1800
    assert need.need(**ask, budget_text="1 EUR").seconds == need.NIGHT
    assert need.need(**ask, budget_text="10 EUR, 20 min", price=["2 EUR/h"]).seconds == 1200


def test_less_memory_makes_another_method_and_less_still_another_model(cli: Cli) -> None:
    ask = ("--task", "classify", "--langs", "eng,deu", "--out", "-", "--machine")
    big, small, least = (planned(cli, *ask, words) for words in ("1x24GB", "laptop 6GB", "laptop 3.2GB"))
    assert big["method"]["choice"].startswith("full")
    assert not small["method"]["choice"].startswith("full") or small["model"]["name"] != big["model"]["name"]
    size = {
        name: plan["model"]["row"]["parameters"] if plan["model"]["row"] else 0
        for name, plan in (("big", big), ("least", least))
    }
    assert size["least"] < size["big"]
    assert "GB" in " ".join(other["why"] for other in least["model"]["next_best"]) or least["model"]["evidence"]


# -- what is measured -------------------------------------------------------------------------------------------


def test_cards_hold_the_whole_model_each_and_the_recipe_says_how_they_are_started(cli: Cli) -> None:
    asked = ("--task", "classify", "--langs", "eng,deu", "--model", "FacebookAI/xlm-roberta-base", "--name", "t")
    ways = [planned(cli, *asked, "--machine", f"{n}x4GB", "--out", str(n))["method"]["methods"] for n in (1, 4)]
    for one, four in zip(ways[0].items(), ways[1].items(), strict=True):
        if one[1]["runs_today"] and not one[1]["fits"]:
            assert not four[1]["fits"], one[0]  # isogloss has no shards
    assert not ways[1]["full"]["fits"]
    assert "isogloss run" in Path("1/t.toml").read_text(encoding="utf-8").splitlines()[1]
    assert "torchrun --nproc-per-node 4 -m isogloss run" in Path("4/t.toml").read_text(encoding="utf-8")
    assert "`torchrun --nproc-per-node 4 -m isogloss run t.toml`" in Path("4/PLAN.md").read_text(encoding="utf-8")


def test_a_script_that_a_sister_language_has_counts_as_read(cli: Cli) -> None:
    plan = planned(cli, "--task", "classify", "--langs", "eng,srp_Latn,hrv,bos", "--machine", "laptop", "--out", "-")
    assert plan["model"]["row"]["xnli_over_xlm_r_base"] is not None
    assert plan["model"]["row"]["xnli_over_xlm_r_base"] >= 0
    assert any("srp_Latn is on its list in another script alone" in words for words in plan["model"]["evidence"])
    lone = catalogue.get(plan["model"]["name"])
    assert lone.covers("ell_Latn") == "other script"
    assert lone.kin("ell_Latn") is None  # no other Greek is written so
    assert lone.reads("ell_Latn") is False


def test_the_best_on_xnli_is_named_with_what_it_has_not_read(cli: Cli) -> None:
    plan = planned(cli, "--task", "classify", "--langs", "swe,nds", "--machine", "1x24GB", "--out", "-")
    assert plan["model"]["lacks"] == []
    named = {each["choice"]: each["why"] for each in plan["model"]["next_best"]}
    assert named["FacebookAI/xlm-roberta-large"].startswith("the best on XNLI of those that fit")
    assert named["FacebookAI/xlm-roberta-large"].endswith("it has not read nds_Latn")


def test_what_the_recipe_says_of_family_and_languages_stays(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'task = "classify"\nlangs = ["eng", "swh", "amh"]\nmodel = {use = "ngram", scope = "pooled"}\n'
        '[train]\nlangs = ["eng_Latn"]\n',
        encoding="utf-8",
    )
    for more in ((), ("--budget", "600 labels")):
        plan = planned(cli, "r.toml", "--out", "out", "--machine", "laptop", *more)
        assert plan["model"]["name"] == "ngram"
        assert plan["model"]["next_best"][0]["why"].startswith("the encoder that the plan would take")
        buys = {row["lang"]: row["buy"] for row in plan["labels"]["langs"]}
        assert buys["eng_Latn"]["train"] >= 100
        assert buys["swh_Latn"]["train"] == buys["amh_Ethi"]["train"] == 0
        assert buys["swh_Latn"]["test"] > 0
        made = recipes.read(Path(plan["recipe"]))
        assert made.model.use == "ngram"
        assert made.model.knobs["scope"] == "pooled"
        assert "your recipe says so" in plan["sources"]["choice"]
    assert planned(cli, "r.toml", "--out", "-", "--model", "isogloss/mini")["model"]["name"] == "isogloss/mini"


def test_where_labels_bring_nothing_the_sources_alone_are_labelled(cli: Cli) -> None:
    for more in ((), ("--budget", "900 labels")):
        plan = planned(
            cli,
            "--task",
            "nli",
            "--langs",
            "eng,swa,tha",
            "--machine",
            "1x24GB",
            "--out",
            "-",
            "--licence",
            "any",
            *more,
        )
        assert plan["labels"]["curve"]["usual"] < 0.01
        for row in plan["labels"]["langs"]:
            assert (row["buy"]["train"] > 0) == (row["lang"] in plan["sources"]["langs"])
            assert row["buy"]["test"] > 0


def test_no_labels_are_none(cli: Cli) -> None:
    asked = ("--task", "classify", "--langs", "eng,swa", "--machine", "laptop", "--budget", "0 labels")
    plan = planned(cli, *asked, "--name", "t", "--out", "out")
    assert plan["labels"]["to_buy"] == 0
    said = " ".join(plan["labels"]["evidence"])
    assert "test rows are for" not in said
    assert [each["choice"] for each in plan["labels"]["next_best"]] == ["100 labels of each language"]
    assert "1 rows" not in Path("out/t.toml").read_text(encoding="utf-8")


def test_a_chatbot_takes_the_largest_that_fits(cli: Cli) -> None:
    plan = planned(cli, "--task", "chatbot", "--langs", "eng,deu", "--machine", "1x24GB", "--out", "-")
    assert plan["model"]["row"]["head"] == "chat"
    assert plan["model"]["row"]["parameters"] > 4e9
    named = [each["choice"] for each in plan["model"]["next_best"]]
    assert not any("nllb" in name for name in named)  # nothing lacks, and nothing is to be translated


def test_the_reason_for_a_small_model_is_the_real_one(cli: Cli) -> None:
    asked = ("--task", "classify", "--langs", "eng,deu", "--machine", "laptop", "--out", "-", "--budget", "60s")
    plan = planned(cli, *asked)
    said = " ".join(plan["model"]["evidence"])
    assert "nothing else that does fits" in said
    assert "in bulk" not in said
    assert any("may not finish" in words for words in plan["method"]["evidence"])


@pytest.mark.parametrize(("card", "precision"), [("t4", "fp16"), ("a100", "auto")])
def test_a_card_without_bf16_trains_in_fp16(cli: Cli, card: str, precision: str) -> None:
    plan = planned(cli, "--task", "classify", "--langs", "eng,deu", "--machine", card, "--out", "out")
    assert recipes.read(Path(plan["recipe"])).train.precision == precision


def test_money_without_a_price_and_money_spent_twice_are_said(cli: Cli) -> None:
    asked = ("--task", "classify", "--langs", "eng,swa", "--machine", "1x24GB", "--out", "-", "--budget", "50 EUR")
    assert any("had no effect" in note for note in planned(cli, *asked)["notes"])
    one = planned(cli, *asked, "--price", "0.2 EUR/label")
    assert not any("had no effect" in note or "more than there is" in note for note in one["notes"])
    both = planned(cli, *asked, "--price", "0.2 EUR/label", "--price", "30 EUR/h")
    assert both["labels"]["to_buy"] == 250
    assert any("more than there is" in note for note in both["notes"])


def test_a_retired_code_is_said(cli: Cli) -> None:
    notes = planned(cli, "--task", "classify", "--langs", "iw,eng", "--machine", "laptop", "--out", "-")["notes"]
    assert any("'iw'" in note and "heb_Hebr" in note for note in notes)
    assert not any("'eng'" in note for note in notes)


def test_ngrams_of_languages_without_rows_are_pooled(cli: Cli) -> None:
    asked = ("--task", "classify", "--langs", "eng,swa", "--machine", "cpu 32GB 8 cores", "--latency", "0.01")
    plan = planned(cli, *asked, "--out", "out", "--budget", "0 labels")
    assert plan["model"]["name"] is None
    assert recipes.read(Path(plan["recipe"])).model.knobs["scope"] == "pooled"


def kept(monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
    """This machine as if it had been measured."""
    from isogloss.core import estimate

    value = {
        "step_rates": dict(estimate.USUAL["fp32"]), "step_spread": 1.3, "step_precision": "fp32", "step_device": "cpu",
        "base_bytes": 400_000_000, "when": "2026-11-28T10:00:00",
        "matmul_fp32_gflops": 100.0, "matmul_bf16_gflops": 300.0, **more,
    }  # fmt: skip
    monkeypatch.setattr("isogloss.stages.planning.forecast.measured", lambda: value)


def test_what_was_measured_of_this_machine_is_used_and_of_another_is_not(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("--task", "classify", "--langs", "eng,swh", "--model", "isogloss/mini", "--out", "-")
    assert not planned(cli, *ask)["method"]["calibrated"]
    kept(monkeypatch)
    plan = planned(cli, *ask)
    assert plan["method"]["calibrated"]
    assert "uncalibrated" not in plan["method"]["choice"]
    assert "measured 2026-11-28" in plan["method"]["uncertainty"]
    assert not planned(cli, *ask, "--machine", "laptop")["method"]["calibrated"]


def test_calibrate_says_what_it_spends_before_it_spends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []

    class Heard(Say):
        def line(self, text: str) -> None:
            order.append(text)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "measure", lambda say: order.append("measured"))
    stage.plan(calibrate=True, out=Path("-"), say=Heard(), task_name="classify", langs=["eng", "swh"])
    assert "about 10 seconds" in order[0]
    assert "torch" in order[0]
    assert order[1] == "measured"


def test_a_probe_needs_a_model_on_this_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError, match="which is not on this disk"):
        stage.plan(probe=True, out=Path("-"), task_name="classify", langs=["eng", "deu"], model="xlm-roberta-base")
    with pytest.raises(InputError, match="--machine names another"):
        stage.plan(probe=True, out=Path("-"), task_name="classify", langs=["eng"], machine="laptop")


@pytest.mark.slow
def test_a_probe_trains_some_steps_and_stands_beside_the_estimate(cli: Cli) -> None:
    said = cli(
        "plan",
        "--task",
        "classify",
        "--langs",
        "eng,swh",
        "--model",
        "isogloss/mini",
        "--probe",
        "--out",
        "-",
        "--json",
    )
    assert said.code == 0, said.err
    assert "24 steps of isogloss/mini" in said.err  # before it was spent
    probe = said.json["method"]["probe"]
    assert probe["seconds_per_step"] > 0
    assert 0.5 < probe["estimated_peak_bytes"] / probe["peak_bytes"] < 2
    assert "estimated" in probe["words"]


@pytest.mark.slow
def test_the_completed_recipe_runs(cli: Cli, place: Place) -> None:
    plan = planned(cli, str(place.recipe), "--model", "isogloss/mini", "--out", "p")
    done = cli("run", f"p/{plan['name']}.toml", "--set", "train.epochs=1.0", "--json")
    assert done.code in (0, 1), done.err  # the gates may refuse what one epoch learned
    assert done.json["verdict"]


# -- the catalogue ----------------------------------------------------------------------------------------------


def test_models_by_language_task_and_licence(cli: Cli) -> None:
    said = cli("models", "--langs", "amh,tir", "--task", "classify", "--licence", "commercial", "--json")
    assert said.code == 0, said.err
    rows = said.json["models"]
    assert all(row["commercial"] and row["kind"] in ("encoder", "hosted") for row in rows)
    known = [len(row["lacks"]) for row in rows if row["languages"] is not None]
    assert known == sorted(known)
    assert known[0] == 0
    for row in rows:
        if row["memory_bytes"]:
            assert row["memory_bytes"]["freeze"] < row["memory_bytes"]["full"]
            assert row["memory_bytes"]["qlora"] < row["memory_bytes"]["lora"]


def test_one_model_in_full_and_the_table(cli: Cli, tmp_path: Path) -> None:
    said = cli("models", "xlm-roberta-base")
    assert said.code == 0
    assert "250,002 pieces" in said.out
    assert "amh_Ethi" in said.out
    table = cli("models", "--kind", "encoder-decoder")
    assert "facebook/nllb-200-3.3B" in table.out
    assert "xlm-roberta" not in table.out
    assert cli("models", str(model_folder(tmp_path, "mine"))).code == 0
    for wrong, words in ((("nowhere/model",), "no model 'nowhere/model'"), (("--kind", "encodr"), "did you mean"),
                         (("xlm-roberta-base", "--langs", "eng"), "leave --langs")):  # fmt: skip
        done = cli("models", *wrong)
        assert done.code == 2
        assert words in done.err
