"""Embedder: a text encoder with its pooling. Texts in, unit vectors out.

Three kinds of folders are read: what sentence-transformers writes (`modules.json`), with its own pooling, length,
layers above and prompts; any transformers folder with an encoder, whose states are averaged; and the model folders of
isogloss, which are one of the two. A head for labels is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from isogloss.core import files
from isogloss.core.errors import DataError, InputError, nearest
from isogloss.nn import hub
from isogloss.nn.answer import TOKENS, by_length
from isogloss.nn.batches import padded, token_ids
from isogloss.nn.model import TextModel
from isogloss.nn.pooling import FLAGS, POOLINGS, pooled

MODULES = "modules.json"
# Texts whose tokens are held at once.
CHUNK = 20_000
# Tokens of a text where neither the model nor its tokenizer says how many it reads.
LENGTH = 512
# Several poolings are concatenated in the order in which sentence-transformers does.
ORDER = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "Tanh": nn.Tanh, "Identity": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU, "SiLU": nn.SiLU, "Sigmoid": nn.Sigmoid,
}  # fmt: skip
# Model types beside RoBERTa's own whose positions begin after the padding index.
SHIFTED = ("camembert", "mpnet", "longformer", "xmod")
REMEDY = "fetch the folder again"


class TextError(DataError):
    """The text at `position` (from 0) has no vector; `why` begins with a verb."""

    def __init__(self, position: int, why: str) -> None:
        self.position, self.why = position, why
        super().__init__(f"text {position} {why}")


@dataclass(frozen=True)
class Layout:
    """What stands around the transformer: which folder has it, how its states become one vector, what comes after.

    `above` are the modules behind the pooling, in order. `with_prompt`: whether a prompt's own tokens are pooled too.
    """

    folder: Path
    poolings: tuple[str, ...] = ("mean",)
    with_prompt: bool = True
    max_length: int | None = None
    lower: bool = False
    above: tuple[nn.Module, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    others: tuple[Path, ...] = ()
    """Folders of the modules beside the transformer."""


class Embedder:
    """A model that gives texts unit vectors.

    `name` as asked for, `folder` and (from the hub) `commit`; `poolings`, concatenated where there are several;
    `max_length` in tokens, special ones included; `prompts` of the model by name, and the name of its default one.
    """

    def __init__(self, name: str, found: hub.Found, layout: Layout, model: TextModel) -> None:
        self.name, self.folder, self.commit = name, found.folder, found.commit
        self.poolings, self.prompts = layout.poolings, dict(layout.prompts)
        self.default_prompt = layout.default_prompt
        self.max_length = model.max_length
        self._layout, self._model = layout, model
        self.above = nn.Sequential(*layout.above).eval().to(self.device)
        self.dimension = int(
            self._above(torch.zeros(1, len(layout.poolings) * _width(model.net)).to(self.device)).shape[1]
        )

    @classmethod
    def load(cls, name: str, *, revision: str | None = None, locate: Callable[[str], Path] = Path) -> Embedder:
        """Load the encoder `name`: a folder (at `locate(name)`), or a hub name, at `revision`.

        Raises MissingError when it is nowhere, InputError when it is no encoder that can be read.
        """
        place = locate(name)
        # the transformer of a whole sentence-transformers folder may lie in a folder of its own
        found = hub.Found(place) if (place / MODULES).is_file() else hub.find(name, revision, place)
        own = (found.folder / MODULES).is_file()
        layout = _layout(found.folder) if own else Layout(found.folder)
        with hub.quiet():
            model = _read(layout, own)
        return cls(name, found, layout, model)

    @property
    def model(self) -> TextModel:
        """The transformer and its tokenizer, without what stands above."""
        return self._model

    @property
    def device(self) -> torch.device:
        return next(self._model.parameters()).device

    @cached_property
    def digest(self) -> str:
        """One digest of every file that the vectors depend on, 16 hex digits."""
        places = dict.fromkeys((self.folder, self._layout.folder, *self._layout.others))
        wanted = {path for place in places for glob in hub.PATTERNS for path in place.glob(glob)}
        return files.digest_of({p.relative_to(self.folder).as_posix(): files.digest(p) for p in wanted})

    @property
    def pooling(self) -> str:
        """The poolings as one name."""
        return "+".join(self.poolings)

    def embed(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        batch_tokens: int = TOKENS,
        tick: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Unit vectors `(N, D)` float32 of the texts, in their order.

        `prompt` stands before every text: the name of one of the model's prompts, or a text; None is the model's
        default one, where it has any, and "" none at all. `batch_tokens` bounds a batch, padding included; `tick` hears
        how many texts are done. Raises TextError, with the position, for a text that is empty or no string.
        """
        return self.embed_and_cuts(texts, prompt=prompt, batch_tokens=batch_tokens, tick=tick)[0]

    def embed_and_cuts(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        batch_tokens: int = TOKENS,
        tick: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `embed`, and which texts were longer than the model reads `(N,)`."""
        check_texts(texts)
        before = self.before(prompt)
        out, cuts = np.zeros((len(texts), self.dimension), np.float32), np.zeros(len(texts), bool)
        n_prompt = self._n_prompt(before)
        done = 0
        for start in range(0, len(texts), CHUNK):
            part = [before + text for text in texts[start : start + CHUNK]]
            ids, cuts[start : start + CHUNK] = token_ids(self._model, part, self.max_length)
            none = next((i for i, row in enumerate(ids) if not len(row)), None)
            if none is not None:
                raise TextError(start + none, f"has no token in the vocabulary of {self.name}")
            for at in by_length([len(row) for row in ids], batch_tokens):
                out[start + at] = self._vectors([ids[i] for i in at], n_prompt)
                done += len(at)
                if tick:
                    tick(done)
        return out, cuts

    def before(self, prompt: str | None) -> str:
        """The text that stands before every text."""
        if prompt is None:
            return self.prompts.get(self.default_prompt, "") if self.default_prompt else ""
        return self.prompts.get(prompt, prompt)

    def _n_prompt(self, before: str) -> int:
        """Leading tokens that are not pooled, as sentence-transformers counts them."""
        if not before or self._layout.with_prompt:
            return 0
        ids = token_ids(self._model, [before], self.max_length)[0][0]
        return len(ids) - (len(ids) > 0 and int(ids[-1]) in self._model.tokenizer.all_special_ids)

    def _vectors(self, ids: Sequence[Sequence[int] | np.ndarray], n_prompt: int) -> np.ndarray:
        with torch.inference_mode():
            batch = padded(self._model, ids)
            states_BTD = self._model.net(**batch).last_hidden_state
            mask_BT = batch["attention_mask"].clone()
            mask_BT[:, :n_prompt] = 0
            several = [pooled(states_BTD, mask_BT, how) for how in self.poolings]
            vectors_BD: torch.Tensor = self._above(torch.cat(several, dim=-1))
            return vectors_BD.cpu().numpy()

    def _above(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return nn.functional.normalize(self.above(vectors_BD).float(), dim=-1)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what has no vector. Raises TextError, with the position."""
    if isinstance(texts, str):
        raise DataError("embedding takes a list of texts, got one string; write [text]")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TextError(i, f"is a {type(text).__name__}, not a string")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise TextError(i, "has half a character (a lone surrogate); mend it or leave it out") from None
        if not text.strip():
            raise TextError(i, "is empty, and an empty text has no vector; leave it out")


# -- the layout of sentence-transformers ------------------------------------------------------------------------


class Unit(nn.Module):
    """Vectors at unit length."""

    def forward(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(vectors_BD, dim=-1)


def _layout(folder: Path) -> Layout:
    """What the files of sentence-transformers say. Raises InputError for a module that is not supported."""
    modules = _json(folder / MODULES, list)
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    paths = [_below(folder, str(module.get("path", ""))) for module in modules]
    foreign = [str(m.get("type")) for m in modules if not str(m.get("type")).startswith("sentence_transformers.")]
    unknown = [*foreign, *(kind for kind in kinds if kind not in ("Transformer", "Pooling", *ABOVE))]
    if unknown:
        known = ", ".join(("Transformer", "Pooling", *ABOVE))
        raise InputError(
            f"{folder / MODULES} names the module {unknown[0]}, which is not supported; supported: {known}"
        )
    if kinds[:1] != ["Transformer"] or kinds.count("Transformer") != 1:
        raise InputError(f"{folder / MODULES} must begin with one Transformer; it has {', '.join(kinds) or 'nothing'}")
    if kinds.count("Pooling") != 1 or kinds[1] != "Pooling":
        raise InputError(
            f"{folder} has no pooling: {MODULES} must name a Pooling module right after its Transformer "
            f"(it has {', '.join(kinds)})"
        )
    poolings, with_prompt = _poolings(paths[1])
    own = _own(paths[0])
    more = folder / "config_sentence_transformers.json"
    said = _json(more, dict) if more.is_file() else {}
    prompts = {str(name): str(text) for name, text in (said.get("prompts") or {}).items() if text is not None}
    default = said.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise InputError(f"{more} has no prompt '{default}', its default{nearest(str(default), prompts)}")
    return Layout(
        paths[0], poolings, with_prompt, own.get("max_seq_length"), bool(own.get("do_lower_case")),
        tuple(ABOVE[kind](path) for kind, path in zip(kinds[2:], paths[2:], strict=True)), prompts, default, tuple(paths[1:]),
    )  # fmt: skip


def _below(folder: Path, path: str) -> Path:
    """A module's folder, which never lies outside the model's."""
    found = folder / path
    if not found.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder / MODULES} names the folder {path}, which is not inside it")
    return found


def _own(folder: Path) -> dict[str, Any]:
    """What is said of the transformer: `max_seq_length`, `do_lower_case`. Only texts to states is supported."""
    path = folder / "sentence_bert_config.json"
    value: dict[str, Any] = _json(path, dict) if path.is_file() else {}
    length = value.get("max_seq_length")
    if length is not None and (not isinstance(length, int) or length < 1):
        raise InputError(f"{path}: max_seq_length must be a number of tokens, got {length!r}")
    way = value.get("modality_config", {}).get("text", {"method": "forward", "method_output_name": "last_hidden_state"})
    if (
        value.get("transformer_task", "feature-extraction") != "feature-extraction"
        or "message" in value.get("modality_config", {})
        or (way.get("method"), way.get("method_output_name")) != ("forward", "last_hidden_state")
    ):
        raise InputError(
            f"{path} asks for more than the states of a text (chat, images or another head), which is not supported"
        )
    return value


def _poolings(folder: Path) -> tuple[tuple[str, ...], bool]:
    """The names of the poolings, and whether a prompt's tokens take part."""
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"the folder has no pooling: {path} is missing; {REMEDY}")
    value = _json(path, dict)
    named = value.get("pooling_mode")
    if named is None:
        named = [how for how in ORDER if value.get(FLAGS[how])] or ["mean"]
    several = (named,) if isinstance(named, str) else tuple(named)
    for how in several:
        if how not in POOLINGS:
            raise InputError(f"{path} names the pooling '{how}', which is not supported{nearest(str(how), POOLINGS)}")
    return several, bool(value.get("include_prompt", True))


def _dense(folder: Path) -> nn.Module:
    """A linear layer and its activation. Raises InputError for weights that are no safetensors or do not fit."""
    from safetensors.torch import load_file

    value = _json(folder / "config.json", dict)
    name = str(value.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = ACTIVATIONS.get(name.rsplit(".", 1)[-1]) if name.startswith("torch.nn.") else None
    if activation is None:
        raise InputError(
            f"{folder / 'config.json'}: the activation '{name}' is not supported{nearest(name, ACTIVATIONS)}"
        )
    places = [value.get(key) or "sentence_embedding" for key in ("module_input_name", "module_output_name")]
    if value.get("use_residual") or set(places) != {"sentence_embedding"}:
        raise InputError(
            f"{folder / 'config.json'}: a Dense with a residual or beside the sentence's vector is not supported"
        )
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputError(f"{folder} has no safetensors weights, and pickles are never loaded; convert the folder first")
    linear = nn.Linear(int(value["in_features"]), int(value["out_features"]), bias=bool(value.get("bias", True)))
    try:
        linear.load_state_dict({key.removeprefix("linear."): w.float() for key, w in load_file(weights).items()})
    except Exception as error:
        raise InputError(
            f"{weights} does not fit its config.json ({str(error).splitlines()[-1].strip()[:160]})"
        ) from None
    return nn.Sequential(linear, activation())


ABOVE: dict[str, Callable[[Path], nn.Module]] = {
    "Dense": _dense,
    "Normalize": lambda folder: Unit(),
    "Dropout": lambda folder: nn.Identity(),  # nothing is dropped when answering
}


def _json(path: Path, kind: type) -> Any:
    """A JSON file of a model, of the right kind. Raises InputError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as JSON ({str(error)[:120]}); {REMEDY}") from None
    if not isinstance(value, kind):
        raise InputError(
            f"{path} is not what sentence-transformers writes: a JSON {kind.__name__} is expected; {REMEDY}"
        )
    return value


# -- the transformer --------------------------------------------------------------------------------------------


def _read(layout: Layout, own: bool) -> TextModel:
    """The transformer without any head, and its tokenizer, where it answers fastest."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    folder = layout.folder
    hub.find(str(folder.absolute()), None, folder)  # refuses a folder without safetensors
    try:
        config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        _refuse_decoder(folder, config, own)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        net, info = AutoModel.from_pretrained(
            folder, config=config, dtype=torch.float32, use_safetensors=True, trust_remote_code=False,
            local_files_only=True, ignore_mismatched_sizes=True, output_loading_info=True,
        )  # fmt: skip
    except (InputError, MemoryError):
        raise
    except Exception as error:
        said = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(f"the encoder in {folder} cannot be read ({said})") from error
    both = hasattr(net, "decoder") and hasattr(net, "encoder")
    unused = ("pooler.", "decoder.") if both else ("pooler.",)
    lost = {*info["missing_keys"], *(key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"])}
    lost = {key for key in lost if not key.startswith(unused)}
    if lost:
        raise InputError(
            f"{folder} lacks {len(lost)} weights of a {config.model_type}, or has them in another shape "
            f"({', '.join(sorted(lost)[:2])})"
        )
    if both:
        net = net.get_encoder()
    if layout.lower:
        _lower(tokenizer)
    model = TextModel(net, tokenizer, (), _length(config, layout.max_length or int(tokenizer.model_max_length)), {})
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _refuse_decoder(folder: Path, config: Any, own: bool) -> None:
    """A model that reads from left to right has no pooling that could be assumed, nor code of its own that is run."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.model_type
    decoder = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    if not decoder or config.is_encoder_decoder:
        return
    if not own:
        raise InputError(
            f"{folder} is a decoder ({kind}), which has no pooling of its own; give an encoder, "
            f"or a sentence-transformers folder whose {MODULES} says how it is pooled"
        )
    if "AutoModel" in (getattr(config, "auto_map", None) or {}):
        raise InputError(f"{folder} brings code of its own for its {kind}, and no code of a model is ever run")


def _lower(tokenizer: Any) -> None:
    """Read texts in lower case, whatever the tokenizer does after it."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    after = [backend.normalizer] if backend.normalizer is not None else []
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *after])


def _length(config: Any, asked: int) -> int:
    """Tokens that the model reads: RoBERTa's positions begin after the padding index (514 hold 512)."""
    positions = getattr(config, "max_position_embeddings", None) or -1
    if positions > 0 and (config.model_type in SHIFTED or "roberta" in config.model_type):
        positions -= (config.pad_token_id or 0) + 1
    length = min(asked, positions) if positions > 0 else asked
    return int(length) if length < 10**6 else LENGTH  # a tokenizer that knows no length says 10**30


def _width(net: Any) -> int:
    return int(getattr(net.config, "hidden_size", None) or net.config.d_model)
