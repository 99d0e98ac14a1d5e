"""doctor: the install, the machine, what runs here; measured speed is kept whole and read only on the same machine."""

from __future__ import annotations

import builtins
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isogloss.core.errors import PlaceError
from isogloss.core.say import Say
from isogloss.stages import doctor
from isogloss.stages.checkup import machine, measure
from places import Said


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path / "cache"


def made(**more: Any) -> machine.Machine:
    value: dict[str, Any] = {
        "system": "Linux x86_64", "cpu": "a chip", "n_cores": 4, "n_cores_all": 8,
        "n_bytes_memory": 16 << 30, "n_bytes_free": 8 << 30, "limit": "the machine", "n_bytes_disk": 50 << 30,
        "bf16_cpu": "", "accelerator": None,
    }  # fmt: skip
    return machine.Machine(**{**value, **more})


CUDA = {"kind": "cuda", "name": "H", "n": 1, "n_bytes": 24 << 30, "capability": "9.0", "bf16": True, "fp16": True}
SPEED = {
    "ngram_train_rows_per_second": 1000, "ngram_predict_rows_per_second": 1000, "matmul_fp32_gflops": 100.0,
    "matmul_bf16_gflops": 200.0, "encoder_tokens_per_second": 1000, "encoder_step_gflops": 60.0,
    "when": "2026-01-01T00:00:00", "busy": False,
}  # fmt: skip


def runs(found: machine.Machine, speed: dict[str, Any] | None = None) -> dict[str, doctor.Fact]:
    return {fact.what: fact for fact in doctor._runs(found, speed)}


def test_here_and_now(tmp_path: Path) -> None:
    start = time.monotonic()
    found = doctor.doctor()
    assert time.monotonic() - start < 3
    assert found.ok
    assert {"python", "packages", "cores", "memory", "accelerator", "half precision", "disk", "speed", "hub"} <= {
        fact.what for fact in found.facts
    }
    assert found.next_step.startswith("isogloss init FILE")
    json.dumps(found.document())
    assert not (tmp_path / "cache").exists(), "nothing is written unasked"


def test_it_needs_neither_torch_nor_polars_nor_the_network() -> None:
    """A broken install is when doctor is asked."""
    code = """
import socket, sys
for name in ("polars", "pyarrow", "numpy", "sklearn", "transformers"):
    sys.modules[name] = None
socket.socket.connect = None
from isogloss.stages import doctor
print(*doctor.lines(doctor.doctor(), 80), sep="\\n")
print("torch" in sys.modules, file=sys.stderr)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert said.stderr.strip() == "False"
    assert "character n-grams" in said.stdout


def test_what_is_missing_comes_with_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["polars>=2", "nothing-such>=1.2; python_version > '3'", "nosuch>=1; extra == 'serve'", "pydantic>=999"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: asked)
    assert doctor.requirements() == {
        "": {"polars": "2", "nothing-such": "1.2", "pydantic": "999"},
        "serve": {"nosuch": "1"},
    }
    facts = list(doctor._install())
    packages = next(fact for fact in facts if fact.what == "packages")
    assert packages.state == "no"
    assert packages.fix == "pip install 'nothing-such' 'pydantic >= 999'"
    extra = next(fact for fact in facts if fact.what == "extra")
    assert extra.state == "look" and extra.fix == "pip install -c constraints.txt -e '.[serve]'"
    assert doctor._next(facts, None) == packages.fix


def test_memory_decides_what_fits() -> None:
    small, large = runs(made(n_bytes_free=4 << 30)), runs(made(n_bytes_free=12 << 30))
    assert small["xlm-roberta-base, every weight"].state == "no"
    assert "needs about" in small["xlm-roberta-base, every weight"].text
    assert large["xlm-roberta-base, every weight"].state == "ok"
    assert small["character n-grams"].state == "ok"
    assert large["a model of 7 billion, LoRA in 4 bits"].text.startswith("no, 4 bits need a CUDA device")
    assert "too slow" in runs(made(n_bytes_free=64 << 30))["a model of 7 billion, LoRA in bf16"].text


def test_an_accelerator_counts_with_its_own_memory() -> None:
    found = runs(made(accelerator=CUDA, n_bytes_free=1 << 30))
    assert found["xlm-roberta-large, every weight"].state == "ok"
    assert found["a model of 7 billion, LoRA in bf16"].state == "ok"
    assert found["a model of 7 billion, every weight"].state == "no"
    facts = {fact.what: fact.text for fact in doctor._hardware(made(accelerator=CUDA))}
    assert "24.0 GB" in facts["accelerator"] and facts["half precision"] == "bf16 and fp16 on the cuda device"
    old = {**CUDA, "bf16": False}
    assert "fp16 on" in next(f.text for f in doctor._hardware(made(accelerator=old)) if f.what == "half precision")


def test_a_gpu_that_torch_does_not_use_is_named() -> None:
    unused = {"kind": "unused", "name": "RTX", "n": 1, "n_bytes_there": 8 << 30}
    fact = next(f for f in doctor._hardware(made(accelerator=unused)) if f.what == "accelerator")
    assert fact.state == "look" and "RTX" in fact.text and fact.fix
    assert runs(made(accelerator=unused))["a model of 7 billion, LoRA in 4 bits"].state == "no"


def test_measured_speed_gives_times() -> None:
    found = runs(made(n_bytes_free=64 << 30), SPEED)
    assert "10 s" in found["character n-grams"].text
    base = found["xlm-roberta-base, every weight"]
    assert base.state == "ok" and "4.6 h" in base.text  # 6 * 86e6 * 10,000 * 64 * 3 / 60e9 s
    assert found["a model of 7 billion, LoRA in bf16"].state == "no"
    busy = next(iter(doctor._speed({**SPEED, "busy": True})))
    assert busy.state == "look" and "quiet" in busy.fix


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_text_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "machine", lambda: made(accelerator=CUDA))
    out = doctor.lines(doctor.doctor(), width)
    assert all(len(line) <= width or " " not in line.strip() for line in out)


@pytest.mark.slow
def test_measuring_takes_seconds() -> None:
    start = time.monotonic()
    measure.measure(Say())
    assert time.monotonic() - start < 60, "ten seconds when the machine is quiet"


def test_what_was_measured_is_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, small in (("SECONDS", 0.05), ("N_ROWS", 60), ("WIDTH", 48), ("TOKENS", 8)):
        monkeypatch.setattr(measure, name, small)
    monkeypatch.setattr(measure, "measure_steps", lambda tick: {"steps": []})  # tested with the slow ones
    value = measure.measure(Say())
    assert value["ngram_train_rows_per_second"] > 0 and value["matmul_fp32_gflops"] > 0
    assert [path.name for path in (own_cache / "isogloss").iterdir()] == ["machine.json"]
    assert measure.measured() == json.loads(json.dumps(value))
    assert doctor.doctor().measured == measure.measured()


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', '{"format": 99}', "\x00"])
def test_a_damaged_or_foreign_measurement_counts_as_none(own_cache: Path, damage: str) -> None:
    (own_cache / "isogloss").mkdir(parents=True)
    (own_cache / "isogloss" / "machine.json").write_text(damage, "utf-8")
    assert measure.measured() is None
    assert doctor.doctor().ok


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(measure, "_ngram", dict)
    monkeypatch.setattr(measure, "_products", lambda device: {})
    monkeypatch.setattr(measure, "_encoder", lambda device: {})
    monkeypatch.setattr(measure, "measure_steps", lambda tick: {})
    with pytest.raises(PlaceError, match="file"):
        measure.measure(Say())


def test_control_groups_bound_memory_and_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "pod" / "box"
    inner.mkdir(parents=True)
    (tmp_path / "memory.max").write_text("max\n")
    (inner / "memory.max").write_text(f"{4 << 30}\n")
    (inner / "memory.current").write_text(f"{1 << 30}\n")
    (tmp_path / "pod" / "cpu.max").write_text("150000 100000\n")
    monkeypatch.setattr(machine, "_control_groups", lambda: [inner, tmp_path / "pod", tmp_path])
    monkeypatch.setattr(machine, "usable_cores", lambda: 64)
    monkeypatch.setattr(machine, "memory", lambda: (64 << 30, 32 << 30))
    assert machine.container_memory() == (4 << 30, 1 << 30)
    assert machine.cores() == 2
    found = machine.machine()
    assert (found.n_bytes_memory, found.n_bytes_free, found.limit) == (4 << 30, 3 << 30, "the container")
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert machine.container_memory() == (None, None)


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_hub_is_asked_only_when_told_to(hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hf" / "hub" / "models--xlm-roberta-base").mkdir(parents=True)
    monkeypatch.setenv("HF_ENDPOINT", hub)
    (unasked,) = doctor._hub(False)
    assert "not asked" in unasked.text and "1 models on disk (xlm-roberta-base)" in unasked.text
    (asked,) = doctor._hub(True)
    assert asked.state == "ok" and hub in asked.text
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (gone,) = doctor._hub(True)
    assert gone.state == "look" and gone.fix
    monkeypatch.setenv("HF_ENDPOINT", "no address")
    assert next(iter(doctor._hub(True))).state == "look"


def test_torch_build_is_read_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.torch_build() is not None
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('imported')")
    for text, build in (
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", "cuda 12.8"),
        ("cuda = None\nhip = '6.4'\n", "rocm 6.4"),
        ("cuda = None\n", "cpu"),
    ):
        (tmp_path / "torch" / "version.py").write_text(text)
        code = "from isogloss.stages.checkup import machine; print(machine.torch_build())"
        said = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == build
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    assert machine.torch_build() is None
    assert runs(made())["xlm-roberta-base, every weight"].text == "no, torch is not installed"


def test_measuring_without_torch_still_measures_n_grams(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(measure, "N_ROWS", 60)
    value = measure.measure(Say())
    assert value["ngram_train_rows_per_second"] > 0 and "matmul_fp32_gflops" not in value
    assert next(iter(doctor._speed(value))).text.startswith("n-grams")


def test_the_command(cli: Callable[..., Said]) -> None:
    said = cli("doctor")
    assert said.code == 0 and "character n-grams" in said.out
    assert json.loads(cli("doctor", "--json").out)["ok"] is True
