"""Estimates: what is published of large models, and what must hold of every model."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isogloss.core import catalogue, estimate, machines
from isogloss.core.architecture import of
from isogloss.core.estimate import CPU, CUDA, NAMES, Method, Work

LLAMA_65B = of(
    {
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 8192, "num_hidden_layers": 80,
        "num_attention_heads": 64, "intermediate_size": 22016, "max_position_embeddings": 2048,
    }
)  # fmt: skip
ONE_OF_512 = Work(1, 512, 1, 0)
GB = 1e9
MODELS = [model.arch for model in catalogue.models().values() if model.arch is not None]


def total(name: str, devices: int = 1) -> float:
    method = estimate.preset(name, LLAMA_65B, accelerator=True, large=True)
    if name in ("full", "qlora"):
        method = replace(method, checkpointing=True)
    return estimate.memory(LLAMA_65B, method, ONE_OF_512, CUDA, devices).total / GB


def test_65_billion_parameters() -> None:
    assert 64e9 < LLAMA_65B.n_parameters < 66e9
    assert total("full") > 780  # Dettmers et al. 2023
    assert 38 < total("qlora") < 48  # theirs fits one card of 48 GB
    assert total("lomo", 8) < 24  # Lv et al. 2023: 8 x 24 GB
    assert total("lomo", 8) < machines.parse("8x24GB").n_bytes / GB  # type: ignore[operator]
    assert total("full", 8) > 24


def test_the_share_that_lora_trains() -> None:
    xlmr = catalogue.get("xlm-roberta-base").arch
    assert xlmr is not None
    found = estimate.trainable(xlmr, Method("lora", 0, True, rank=8), n_labels=3)
    blocks = 12 * 8 * (4 * 2 * 768 + 2 * (768 + 3072))  # four square matrices, one up, one down
    assert found.n_trained == blocks + xlmr.head(3)
    queries = estimate.trainable(xlmr, Method("lora", 0, True, rank=8, targets=("query", "value")), n_labels=3)
    assert queries.n_trained == 12 * 8 * 2 * 2 * 768 + xlmr.head(3)


def test_lora_learns_what_peft_makes_learn() -> None:
    """The same number as the parameters that peft makes trainable of a real network."""
    import torch
    from peft import LoraConfig, inject_adapter_in_model
    from transformers import AutoConfig, AutoModel

    keys = {"vocab_size": 101, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
            "intermediate_size": 60, "max_position_embeddings": 35, "type_vocab_size": 1}  # fmt: skip
    with torch.device("meta"):
        net = AutoModel.from_config(AutoConfig.for_model("xlm-roberta", **keys), add_pooling_layer=False)
    made = inject_adapter_in_model(LoraConfig(r=4, target_modules=["query", "key", "value", "dense"]), net)
    n = sum(p.numel() for p in made.parameters() if p.requires_grad)
    arch = of({"model_type": "xlm-roberta", **keys})
    assert estimate.trainable(arch, Method("lora", 0, True, rank=4), n_labels=2).n_trained == n + arch.head(2)


@given(
    st.sampled_from(MODELS), st.sampled_from(NAMES), st.integers(1, 64), st.integers(4, 512), st.booleans(),
    st.integers(1, 8),
)  # fmt: skip
def test_what_must_hold_of_every_estimate(
    arch: estimate.Architecture, name: str, rows: int, tokens: int, accelerator: bool, parts: int
) -> None:
    method = estimate.preset(name, arch, accelerator=accelerator, large=arch.n_parameters > 1.5e9)
    n_labels = 3 if arch.kind == "encoder" else 0
    room = CUDA if accelerator else CPU
    work = Work(rows, tokens, 1, n_labels)
    one = estimate.memory(arch, method, work, room)
    assert min(one.weights, one.gradients, one.optimizer, one.activations, one.other) >= 0
    share = estimate.trainable(arch, method, n_labels)
    assert 0 < share.n_trained <= share.n
    # more rows or longer ones never take less; parts, shards and recomputed blocks never take more of their own kind
    assert estimate.memory(arch, method, replace(work, rows=rows + 1), room).total >= one.total
    assert estimate.memory(arch, method, replace(work, tokens=tokens + 1), room).total >= one.total
    assert estimate.memory(arch, method, replace(work, parts=parts), room).total <= one.total
    assert estimate.memory(arch, method, work, room, 4).weights <= one.weights
    again = replace(method, checkpointing=True)
    assert estimate.states(arch, again, work) <= estimate.states(arch, replace(method, checkpointing=False), work) * 1.5
    # and a step does more where more is learned, or more is read
    done = estimate.operations(arch, method, work)
    assert done.flops > 0
    assert estimate.operations(arch, method, replace(work, rows=rows + 1)).flops > done.flops
    full = estimate.preset("full", arch, accelerator=accelerator)
    assert done.updates <= estimate.operations(arch, full, work).updates * (1 + 1e-9) or method.small


def test_what_is_frozen_has_no_gradient_and_no_optimizer() -> None:
    arch = catalogue.get("xlm-roberta-base").arch
    assert arch is not None
    work = Work(16, 64, 1, 3)
    sizes = [estimate.memory(arch, Method("freeze", n, True), work, CPU) for n in range(arch.layers + 1)]
    for less, more in zip(sizes[1:], sizes, strict=False):
        assert less.gradients < more.gradients
        assert less.optimizer < more.optimizer
        assert less.activations <= more.activations
    assert sizes[-1].gradients == pytest.approx(4 * arch.head(3), rel=0.01)


def test_rates_are_found_again_from_what_they_explain() -> None:
    archs = [arch for arch in MODELS if arch.n_parameters < 4e8][:8]
    method = Method("full")
    done = [
        estimate.operations(arch, method, Work(rows, tokens))
        for arch in archs
        for rows, tokens in ((4, 17), (16, 61), (8, 190))
    ]
    true = {name: value * 1.7 for name, value in estimate.USUAL["fp32"].items()}
    machine = estimate.Rates(true, True, 1.0, "")
    seconds = [machine.step(each) for each in done]
    seconds[5] *= 4  # other work wanted the cores once
    fitted = estimate.Rates(estimate.fit(done, seconds, estimate.USUAL["fp32"]), True, 1.0, "")
    off = [fitted.step(each) / own for i, (each, own) in enumerate(zip(done, seconds, strict=True)) if i != 5]
    assert max(max(off), 1 / min(off)) < 1.1
    assert all(value >= 0 for value in fitted.seconds.values())


def test_a_head_that_reads_the_first_token_spares_the_last_block() -> None:
    keys = {"vocab_size": 900, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 256,
            "max_position_embeddings": 130, "type_vocab_size": 1, "num_hidden_layers": 3}  # fmt: skip
    arch, work = of({"model_type": "xlm-roberta", **keys}), Work(8, 100)
    found = estimate.operations(arch, Method("full"), work)
    whole = estimate.operations(arch, Method("full"), replace(work, n_labels=0))  # vectors: every token is read
    # of the last block keys and values are computed of every token, and all else of one
    per_token = {
        "query": 64 * 64,
        "key": 64 * 64,
        "value": 64 * 64,
        "output": 64 * 64,
        "up": 64 * 256,
        "down": 256 * 64,
    }
    spared = sum(n for name, n in per_token.items() if name not in ("key", "value")) * 8 * 99
    attention = 2 * 2 * 64 * 8 * 99 * 100
    assert whole.flops - found.flops == pytest.approx(3 * 2 * spared + (1 + 2) * attention, rel=1e-6)
    assert estimate.states(arch, Method("full"), work) < estimate.states(
        arch, Method("full"), replace(work, n_labels=0)
    )
    frozen = estimate.operations(arch, Method("freeze", 3, True), work)  # nothing of the blocks learns: the same ahead
    assert frozen.flops < found.flops
    assert estimate.operations(arch, Method("freeze", 3, True), replace(work, n_labels=0)).flops > frozen.flops
