"""States of frozen blocks: computed once for a text, kept on disk in half precision, and read from then on.

What nothing that is trained, drawn or switched by language touches gives the same states at every step. They are kept
under a key of everything they depend on (`key_of`), a row under a digest of its token ids, so that later epochs, other
runs on the same model, and other data that shares texts all begin from them. States are rounded to half precision
whether they are kept or not: what a run computes does not depend on the disk.

runs/.states/KEY/0.bin      states of rows, one after the other
                 0.index    a record of 32 bytes a row: digest of the ids, offset, tokens, kind and checksum
                 0.lock     held by the process that writes these two
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import nn

from isogloss.core import files
from isogloss.nn.answer import by_length
from isogloss.nn.blocks import n_frozen
from isogloss.nn.flops import Operations, apart
from isogloss.nn.model import TextModel
from isogloss.nn.packed import unbroken

RECORD = struct.Struct("<16sQHHI")  # digest, offset, tokens, kind, crc32
FORM = 2  # of what is written; kept states of another form are not read
KINDS = (torch.float16, torch.bfloat16)
MOST_WRITERS = 64
# A writer looks anew at what is on disk after this share of the bound, and leaves as much to each other writer.
LOOK = 1 / 256
# Above this a state is kept in bf16, which reaches as far as fp32.
FP16_HOLDS = 6e4


class Store:
    """Rows of states `(T, D)` on disk under one key; what one process writes, all later ones read.

    `n_bytes` bounds everything under the folder of the key's siblings, whoever writes there. Past it, or when the disk is
    full, rows are not kept. `said` collects sentences about what went wrong; nothing of it is an error.
    """

    def __init__(self, folder: Path, width: int, n_bytes: int) -> None:
        self.folder, self.width = folder, width
        self.said: list[str] = []
        self._where: dict[bytes, tuple[int, int, int, int, int]] = {}
        self._also: dict[bytes, list[tuple[int, int, int, int, int]]] = {}  # the same row, written once more
        self._data: list[int] = []
        self._lock: IO[str] | None = None
        self._index: IO[bytes] | None = None
        self._size = 0
        self._bound = n_bytes
        self._left = self._unlooked = 0  # bytes: free for us, and of them until the next look
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)  # used now: make_room removes the longest unused
            ours = [path for path in folder.glob("*.bin") if path.stem.isdigit()]
            for path in sorted(ours, key=lambda p: int(p.stem)):
                self._read(path)
            self._open()
        except OSError as error:
            self.said.append(f"states are not kept: {files.place_sentence(error, folder)}")
            self.close()

    @property
    def open(self) -> bool:
        """Whether more can be kept."""
        return self._index is not None

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._where

    def _read(self, path: Path) -> None:
        """Take in what an index says, as far as its data are there; a record that a kill cut short ends it."""
        raw = path.with_suffix(".index").read_bytes() if path.with_suffix(".index").is_file() else b""
        size, number = path.stat().st_size, len(self._data)
        self._data.append(os.open(path, os.O_RDONLY))
        for digest, offset, n_tokens, kind, crc in RECORD.iter_unpack(raw[: len(raw) // RECORD.size * RECORD.size]):
            if kind < len(KINDS) and offset + 2 * self.width * n_tokens <= size:
                if digest in self._where:
                    self._also.setdefault(digest, []).append(self._where[digest])
                self._where[digest] = (number, offset, n_tokens, kind, crc)

    def _open(self) -> None:
        """Begin a pair of files of our own, or go on with one that nobody holds."""
        import fcntl

        for number in range(MOST_WRITERS):
            lock = (self.folder / f"{number}.lock").open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self._lock = lock
            data = self.folder / f"{number}.bin"
            self._own = os.open(data, os.O_RDWR | os.O_CREAT, 0o644)
            self._size = os.lseek(self._own, 0, os.SEEK_END)
            index = data.with_suffix(".index")
            if index.is_file() and index.stat().st_size % RECORD.size:
                os.truncate(index, index.stat().st_size // RECORD.size * RECORD.size)
            self._index = index.open("ab")
            self._data.append(self._own)
            self._look()
            return
        self.said.append(f"states are not kept: {MOST_WRITERS} processes write to {self.folder}")

    def _look(self) -> None:
        """See how much is on disk by now; other writers may each write a look's worth before they see ours."""
        import fcntl

        assert self._index is not None
        self._index.flush()
        look, held = int(LOOK * self._bound), 0
        for path in self.folder.parent.glob("*/*.lock"):
            with path.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    held += 1
        others = held - 1  # our own is held too
        self._left = self._bound - _size_of(self.folder.parent) - others * look
        self._unlooked = look

    def get(self, digest: bytes) -> torch.Tensor | None:
        """The states of a row, in half precision `(T, D)`; None when it is not there, or is not what was written."""
        while (at := self._where.get(digest)) is not None:
            states = self._states(digest, at)
            if states is not None:
                return states
            del self._where[digest]
            if self._also.get(digest):
                self._where[digest] = self._also[digest].pop()
            if not any("damaged" in sentence for sentence in self.said):
                self.said.append(
                    f"kept states in {self.folder} are damaged; rows without another copy are computed again"
                )
        return None

    def _states(self, digest: bytes, at: tuple[int, int, int, int, int]) -> torch.Tensor | None:
        number, offset, n_tokens, kind, crc = at
        try:
            raw = os.pread(self._data[number], 2 * self.width * n_tokens, offset)
        except OSError:
            raw = b""
        if len(raw) != 2 * self.width * n_tokens or _check(digest, n_tokens, kind, raw) != crc:
            return None
        return torch.frombuffer(bytearray(raw), dtype=KINDS[kind]).view(n_tokens, self.width)

    def put(self, digest: bytes, states: torch.Tensor) -> None:
        """Keep the states of a row, if there is room."""
        n_bytes = 2 * self.width * len(states)
        if self._index is None or digest in self._where or len(states) > 0xFFFF:
            return
        if n_bytes + RECORD.size > min(self._left, self._unlooked):
            try:
                self._look()
            except OSError as error:
                self._stop(f"states of the remaining rows are not kept: {files.place_sentence(error, self.folder)}")
                return
        if n_bytes + RECORD.size > self._left:
            self._stop("the bound of train.states_gb is reached: states of the remaining rows are computed each time")
            return
        raw = states.contiguous().view(torch.int16).numpy().tobytes()
        kind = KINDS.index(states.dtype)
        crc = _check(digest, len(states), kind, raw)
        try:
            written = os.pwrite(self._own, raw, self._size)
            if written != n_bytes:
                raise OSError(28, "No space left on device")
            self._index.write(RECORD.pack(digest, self._size, len(states), kind, crc))
        except OSError as error:
            self._stop(f"states of the remaining rows are not kept: {files.place_sentence(error, self.folder)}")
            return
        self._where[digest] = (len(self._data) - 1, self._size, len(states), kind, crc)
        self._size += n_bytes
        self._left -= n_bytes + RECORD.size
        self._unlooked -= n_bytes + RECORD.size

    def _stop(self, sentence: str) -> None:
        self.said.append(sentence)
        with contextlib.suppress(OSError):
            if self._index is not None:
                self._index.close()
        self._index = None

    def flush(self) -> None:
        """Let other processes, and later ones after a kill, see what was put so far."""
        if self._index is not None:
            try:
                self._index.flush()
            except OSError as error:
                self._stop(f"states of the remaining rows are not kept: {files.place_sentence(error, self.folder)}")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._index is not None:
                self._index.close()
        self._index = None
        for handle in self._data:
            os.close(handle)
        self._data = []
        self._where, self._also = {}, {}
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _check(digest: bytes, n_tokens: int, kind: int, raw: bytes) -> int:
    """A check sum of the states and of what the index says of them."""
    return zlib.crc32(raw, zlib.crc32(struct.pack("<16sHH", digest, n_tokens, kind)))


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def make_room(folder: Path, keep: str, wanted: int, n_bytes: int) -> None:
    """Remove kept states of other keys than `keep`, the longest unused first, until `wanted` more bytes fit in `n_bytes`.

    What another process is using stays.
    """
    import fcntl

    others = [path for path in folder.glob("*") if path.is_dir() and path.name != keep]
    with contextlib.suppress(OSError):
        left = n_bytes - _size_of(folder)
        for path in sorted(others, key=lambda p: p.stat().st_mtime):
            if left >= wanted:
                return
            with contextlib.ExitStack() as held:
                try:
                    for lock in path.glob("*.lock"):
                        fcntl.flock(held.enter_context(lock.open("a")), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue
                freed = _size_of(path)
                shutil.rmtree(path, ignore_errors=True)
                left += freed


class Below:
    """What the frozen blocks below block `k` of a model give: kept where there is a store, else computed each time.

    `TextModel.forward` goes through it, so that neither a task nor the loop knows of it.
    """

    def __init__(self, family: Any, k: int, store: Store | None) -> None:
        self.family, self.k, self.store = family, k, store
        self.inside = False
        self.n_read = self.n_computed = 0  # tokens
        self.operations = Operations()

    def __call__(self, model: TextModel, inputs: Mapping[str, torch.Tensor]) -> Any:
        """What the model gives for `inputs` (`input_ids, attention_mask`, both (B, T))."""
        ids_BT, mask_BT = inputs["input_ids"], inputs["attention_mask"]
        lengths = mask_BT.sum(1)
        with self._entered():
            if not unbroken(mask_BT):  # tokens were taken out by chance: other states at every step
                return model(**inputs)
            rows = [row[:n] for row, n in zip(ids_BT.cpu().numpy(), lengths.tolist(), strict=True)]
            return self.family.from_states(model, self.k, self._states(model, rows, inputs), inputs)

    def fill(
        self, model: TextModel, rows: Sequence[Sequence[int] | np.ndarray], tick: Callable[[int], None] | None = None
    ) -> None:
        """Keep the states of encoded rows (their ids) that are not kept yet, in batches of like length."""
        if self.store is None:
            return
        from isogloss.nn.batches import padded

        wanted = {digest_of(ids): ids for ids in rows}
        missing = [ids for digest, ids in wanted.items() if digest not in self.store]
        done = 0
        with self._entered():
            for at in by_length([len(ids) for ids in missing]):
                some = [missing[i] for i in at.tolist()]
                self._compute(model, [np.asarray(ids) for ids in some], padded(model, some))
                done += len(some)
                if tick:
                    tick(done)
        self.store.flush()

    def lacks(self, rows: Sequence[Sequence[int] | np.ndarray]) -> bool:
        """Whether a row is not kept, and could be."""
        store = self.store
        return store is not None and store.open and any(digest_of(ids) not in store for ids in rows)

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """Within, the model answers by itself."""
        self.inside = True
        try:
            yield
        finally:
            self.inside = False

    def _states(self, model: TextModel, rows: list[np.ndarray], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """States `(B, T, D)` float32 of a batch, padded with zeros; read where they are kept, else computed."""
        found = [self.store.get(digest_of(ids)) if self.store else None for ids in rows]
        lacking = [i for i, states in enumerate(found) if states is None]
        if lacking:
            width = max(len(rows[i]) for i in lacking)
            at = torch.tensor(lacking, device=inputs["input_ids"].device)
            part = {name: value[at][:, :width] for name, value in inputs.items()}
            for i, states in zip(lacking, self._compute(model, [rows[i] for i in lacking], part), strict=True):
                found[i] = states
        self.n_read += sum(len(ids) for ids in rows) - sum(len(rows[i]) for i in lacking)
        known = [states for states in found if states is not None]
        out = torch.zeros((*inputs["input_ids"].shape, known[0].shape[1]), dtype=torch.float32)
        for i, states in enumerate(known):
            out[i, : len(states)] = states
        return out.to(inputs["input_ids"].device)

    def _compute(
        self, model: TextModel, rows: list[np.ndarray], inputs: Mapping[str, torch.Tensor]
    ) -> list[torch.Tensor]:
        """Compute states of rows in half precision on the CPU, and keep them."""
        with torch.no_grad(), _still(model), apart(), self.operations.during():
            states_BTD = self.family.states_at(model, self.k, inputs).detach().float()
        self.n_computed += inputs["input_ids"].numel()
        self.operations.of(inputs["input_ids"].numel())
        made = []
        for ids, states in zip(rows, states_BTD.cpu(), strict=True):
            own = states[: len(ids)]
            half = own.to(torch.float16 if float(own.abs().max()) < FP16_HOLDS else torch.bfloat16)
            if self.store is not None:
                self.store.put(digest_of(ids), half)
            made.append(half)
        return made


@contextlib.contextmanager
def _still(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for what is computed here; frozen blocks are in it anyway."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def digest_of(ids: Sequence[int] | np.ndarray) -> bytes:
    """What a row is kept under."""
    return hashlib.blake2b(np.asarray(ids, np.int32).tobytes(), digest_size=16).digest()


def key_of(model: TextModel, family: Any, k: int, facts: Mapping[str, Any]) -> str:
    """A digest of everything that states below block `k` depend on, beside the ids of the row.

    The weights and buffers of the embeddings and of the blocks, the configuration (with the kernel of attention), the
    versions of torch and transformers, and `facts`: device and precision.
    """
    import transformers

    hasher = hashlib.blake2b(digest_size=16)
    settings = {key: value for key, value in model.net.config.to_dict().items() if "label" not in key}
    kernel = getattr(model.net.config, "_attn_implementation", "")
    said = [
        FORM,
        k,
        settings,
        kernel,
        torch.__version__,
        transformers.__version__,
        dict(facts),
        type(model.net).__name__,
    ]
    hasher.update(repr(said).encode())
    for module in (*family.embeddings(model), *family.blocks(model)[:k]):
        for name, inner in module.named_modules():
            hasher.update(name.encode())
            if hasattr(inner, "digest"):  # a trimmed table: which rows it holds plays no part
                hasher.update(inner.digest().encode())
                continue
            for own, tensor in (*inner.named_parameters(recurse=False), *inner.named_buffers(recurse=False)):
                hasher.update(f"{own} {tuple(tensor.shape)} {tensor.dtype}".encode())
                hasher.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def depth(model: TextModel, family: Any) -> int:
    """How many blocks, from the lowest, nothing that is trained touches; 0 where the family has none to pass through."""
    if not getattr(family, "BLOCKS", False) or not hasattr(family, "from_states"):
        return 0
    return n_frozen(family.embeddings(model), family.blocks(model))
