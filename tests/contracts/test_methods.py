"""What holds for every method: it changes what is trained, and what is trained is all that a checkpoint holds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from isogloss.core import parts
from isogloss.core import recipe as recipes
from isogloss.core.errors import InputError, RecipeError
from isogloss.parts.families import encoder

LISTED = ["bert", "xlm-roberta", "deberta-v2", "modernbert"]
# What each method is given here; a new method needs no entry when its defaults fit a model of three blocks.
KNOBS: dict[str, dict[str, Any]] = {"freeze": {"blocks": 1}, "lora": {"r": 2, "dropout": 0.1}, "llrd": {"decay": 0.5}}
NAMES = parts.names("methods")


def use(*names: str) -> list[dict[str, Any]]:
    return [{"use": name, **KNOBS.get(name, {})} for name in names]


def excluded(names: tuple[str, ...]) -> bool:
    return any(set(parts.load("methods", name).constant("EXCLUDES", ())) & set(names) for name in names)


def recipe(kind: str, methods: list[dict[str, Any]], **train: Any) -> recipes.Recipe:
    value = {
        "name": "t", "model": {"use": "encoder", "name": str(tiny.folder(kind))}, "data": {"raw": ["x.jsonl"]},
        "train": {"methods": methods, **train},
    }  # fmt: skip
    return recipes.build(value)


def trainee(tmp_path: Path, kind: str, methods: list[dict[str, Any]], **train: Any) -> Any:
    """A model with methods applied as the loop does it, with 16 encoded rows."""
    from isogloss.nn.trainee import Manner, Trainee
    from isogloss.nn.world import World
    from isogloss.stages.training.setup import model_of

    made = recipe(kind, methods, **train)
    model, rates = model_of(made, tiny.start(tmp_path))
    new = Trainee(model, made.the_task, encoder, rates, [], World("fp32"), langs=["eng_Latn"], seed=5, manner=Manner())
    import polars as pl

    frame = pl.DataFrame(tiny.sentences(6, ("eng_Latn",)))
    return new, made.the_task("encode", model, frame, tiny.LABELS)


def learn(new: Any, rows: list[dict[str, Any]], n: int = 3, lr: float = 1e-2) -> None:
    for step in range(n):
        new.step(rows[:16], np.ones(16), np.zeros(16, np.int64), lr=lr, number=step)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_excludes_in_names_of_methods(name: str) -> None:
    part = parts.load("methods", name)
    assert set(part.constant("EXCLUDES", ())) <= set(NAMES) - {name}
    assert part.summary.endswith(".") or part.summary.endswith(").")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", LISTED)
def test_only_what_is_trained_changes_and_is_kept(kind: str, name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from isogloss.nn.checkpoints import Checkpoints

    new, rows = trainee(tmp_path, kind, use(name))
    before = {k: v.clone() for k, v in new.model.state_dict().items()}
    learn(new, rows)
    changed = {k for k, v in new.model.state_dict().items() if not v.equal(before[k])}
    trained = set(new.model.trainable)
    assert changed <= trained
    # weights without a gradient (a padding row, a key bias that softmax cancels) may stay; the rest moves
    assert len(changed) >= 0.8 * len(trained)
    assert trained == set(new.rates)
    head = {k for k in trained if "classifier" in k}
    assert head, "the head must be trained"

    # the checkpoint holds what is trained and nothing else, and brings another model to the same logits
    store = Checkpoints(tmp_path / "checkpoints", "key")
    order = {"dev": __import__("torch").zeros(1)}
    store.save(3, {"weights": new.weights(), "optimizer": new.memory(), "order": order}, {"scaler": {}})
    assert set(load_file(store.path(3) / "weights.safetensors")) == trained
    read = store.read(3)
    again, _ = trainee(tmp_path, kind, use(name))
    again.restore(read.tensors["weights"], read.tensors["optimizer"], {})
    np.testing.assert_array_equal(again.answer(rows), new.answer(rows))
    for t in (new, again):  # and goes on in the same way
        t.step(rows[:16], np.ones(16), np.zeros(16, np.int64), lr=1e-2, number=3)
    np.testing.assert_array_equal(again.answer(rows), new.answer(rows))


@pytest.mark.parametrize("names", list(itertools.permutations(["freeze", "lora", "llrd"])))
def test_methods_compose_in_any_order(names: tuple[str, ...], tmp_path: Path) -> None:
    new, rows = trainee(tmp_path, "xlm-roberta", use(*names))
    want, _ = trainee(tmp_path, "xlm-roberta", use("freeze", "lora", "llrd"))
    assert set(new.rates) == set(want.rates)
    assert {k: pytest.approx(v) for k, v in want.rates.items()} == new.rates
    assert not any("layer.0." in name for name in new.rates)
    assert not any("embeddings" in name for name in new.rates)
    learn(new, rows)


@pytest.mark.parametrize("kind", LISTED)
@pytest.mark.parametrize("names", [("lora",), ("freeze", "lora", "llrd")])
def test_adapters_are_merged_when_written(kind: str, names: tuple[str, ...], tmp_path: Path) -> None:
    import polars as pl

    new, rows = trainee(tmp_path, kind, use(*names))
    learn(new, rows)
    frame = pl.DataFrame(tiny.sentences(6, ("eng_Latn",)))
    want = encoder.predict(new.model, frame)
    encoder.write(new.model, tmp_path / "out")
    from safetensors.torch import load_file

    assert not any("lora" in name for name in load_file(tmp_path / "out" / "model.safetensors"))
    np.testing.assert_allclose(encoder.predict(encoder.read(tmp_path / "out"), frame), want, atol=1e-5)


def test_llrd_slows_what_lies_lower(tmp_path: Path) -> None:
    new, _ = trainee(tmp_path, "modernbert", use("llrd"))
    by_depth = {}
    for name, rate in new.rates.items():
        place = "0" if "embeddings" in name else name.split("layers.")[1][0] + "+" if "layers." in name else "head"
        by_depth.setdefault(place, set()).add(rate)
    assert by_depth == {"head": {1.0}, "2+": {0.5}, "1+": {0.25}, "0+": {0.125}, "0": {0.0625}}
    assert {g["factor"] for g in new.update.optimizers[0].param_groups} == {1.0, 0.5, 0.25, 0.125, 0.0625}


def test_lora_targets(tmp_path: Path) -> None:
    new, _ = trainee(tmp_path, "xlm-roberta", [{"use": "lora", "targets": ["query", "value"]}])
    assert {n.split(".lora_")[0].rpartition(".")[2] for n in new.rates if "lora" in n} == {"query", "value"}
    with pytest.raises(InputError, match="'qery', which no block has; did you mean 'query'"):
        trainee(tmp_path, "xlm-roberta", [{"use": "lora", "targets": ["qery"]}])


def test_too_much_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="freeze has blocks = 4, but the model has 3"):
        trainee(tmp_path, "bert", [{"use": "freeze", "blocks": 4}])
    with pytest.raises(InputError, match="lora finds no linear layer"):
        trainee(tmp_path, "bert", [{"use": "freeze", "blocks": 3}, "lora"])


@pytest.mark.parametrize("pair", list(itertools.permutations(NAMES, 2)))
def test_what_is_excluded_is_refused_with_the_recipe(pair: tuple[str, str]) -> None:
    if excluded(pair):
        with pytest.raises(RecipeError, match="cannot be combined with") as caught:
            recipe("bert", use(*pair))
        assert caught.value.key.startswith("train.methods.")
    else:
        recipe("bert", use(*pair))


def test_a_method_twice_and_a_method_without_blocks() -> None:
    with pytest.raises(RecipeError, match="stands twice"):
        recipe("bert", use("llrd", "llrd"))
    ngram = {"name": "t", "model": "ngram", "data": {"raw": ["x.jsonl"]}}
    with pytest.raises(RecipeError, match="fits itself") as caught:
        recipes.build({**ngram, "train": {"methods": ["lora"]}})
    assert caught.value.key == "train.methods"
    for key, value in {"steps": 3, "lr": 1e-4, "batch": 4, "keep": {"drop_at_most": 0.1}, "dropout": 0.1}.items():
        with pytest.raises(RecipeError, match="fits itself") as caught:
            recipes.build({**ngram, "train": {key: value}})
        assert caught.value.key == f"train.{key}"
    made = recipes.build(ngram)
    assert "lr" not in made.to_toml()
    assert "lr" not in made.sections("train")["train"]


def test_a_method_of_ones_own_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/design.md has it: apply, loading and penalty, each with its own knobs."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "head.py").write_text(
        '''"""Train the head only, and pull it to zero."""
def apply(model, family, param_groups, *, rate: float = 2.0):
    return {name: rate for name in param_groups if "classifier" in name}
def loading(*, kernel: str = "eager"):
    return {"attn_implementation": kernel}
def penalty(model, *, pull: float = 0.5):
    return pull * sum((p ** 2).sum() for p in model.trainable.values())
''',
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    from isogloss.stages.training import setup

    made = recipe("xlm-roberta", [{"use": "theirs.head", "rate": 3.0, "pull": 0.1}])
    start = setup._start(
        made, tmp_path, tiny.LABELS, __import__("polars").DataFrame({"text": [], "lang": []}), skeleton=False
    )
    assert start.loading == {"attn_implementation": "eager"}
    model, rates = setup.model_of(made, start)
    assert model.net.config._attn_implementation == "eager"
    assert set(rates.values()) == {3.0}
    assert all("classifier" in name for name in rates)
