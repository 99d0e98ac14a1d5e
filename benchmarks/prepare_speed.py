"""Documents per second and peak memory of a chain of steps, beside datatrove and data-juicer.

    python benchmarks/prepare_speed.py [--documents 100000] [--steps langid quality dedup pii] [--datatrove PYTHON] [--data-juicer PYTHON]

PYTHON is an interpreter of an environment in which the other tool is installed (`pip install "datatrove[processing,io]" spacy py3langid scipy safetensors polars`,
`pip install py-data-juicer`); without it the tool is left out. Steps that isogloss does not have are left out.

Documents are five to seven sentences of FLORES-200, 61 languages equally often, in eight files; one in twenty is one before it with a
word changed, one in ten has an e-mail address and a telephone number. Each tool runs with two workers and at one thread each:

- isogloss: `isogloss prepare` with the steps, which also splits, samples and writes a data card.
- datatrove: reader, filters, MinHash in its four stages with its own settings (words of five, 14 × 8), `PIIFormatter` (e-mail and IP
  only), writer. `langid` is the identifier of isogloss in batches of 512 in its filter base class, so that its speed is the same and
  what is compared is the rest; `quality` its Gopher quality filter without stop words.
- data-juicer: three filters of quality (length, special characters, repetition), `document_minhash_deduplicator` (its settings, n-grams of
  characters) and the mappers that clean e-mail, IP and links; no identifier, since its own needs a model that is fetched.

Memory is the proportional set size of the command and all its descendants, looked at five times a second. On a machine that others
use, seconds mean little: documents per second of processor time stand beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import polars as pl

import isogloss as isogloss_package
from isogloss.core import parts

FILES = 8
SOURCE = Path(isogloss_package.__file__).parents[1]
CHAIN = ("langid", "quality", "dedup", "pii")


def write(folder: Path, data: Path, n: int) -> int:
    """Documents in files; gives their bytes."""
    frame = pl.read_parquet(data / "flores200.parquet", columns=["lang", "text"])
    texts = {
        str(lang): part["text"].to_list()
        for (lang,), part in sorted(frame.group_by("lang"), key=lambda item: str(item[0][0]))
    }
    langs, rng = list(texts), random.Random(1)
    size, last = 0, {}
    raw = folder / "raw"
    raw.mkdir()
    handles = [(raw / f"{i}.jsonl").open("w", encoding="utf-8") for i in range(FILES)]
    for i in range(n):
        lang = langs[i % len(langs)]
        text = " ".join(rng.sample(texts[lang], rng.randint(5, 7)))
        if i % 20 == 7 and lang in last:
            words = last[lang].split(" ")
            words[rng.randrange(len(words))] = "xyz"
            text = " ".join(words)
        elif i % 10 == 3:
            text += f" anna.{i}@mail.org, +49 30 9{i % 1_000_000:06}."
        last[lang] = text
        size += len(text.encode())
        handles[i % FILES].write(
            json.dumps({"id": f"d{i}", "text": text, "lang": lang, "label": "ab"[i % 2]}, ensure_ascii=False) + "\n"
        )
    for handle in handles:
        handle.close()
    return size


# -- the tools: what is run in the folder, and how many documents it leaves --------------------------------------


def isogloss(folder: Path, steps: list[str], python: str) -> list[str]:
    recipe = (
        f'name = "n"\nlangs = "all"\nmodel = {{use = "ngram"}}\n[data]\nraw = ["raw"]\nsteps = {json.dumps(steps)}\n'
    )
    recipe = recipe.replace('raw = ["raw"]', 'raw = ["raw/*.jsonl"]')
    (folder / "recipe.toml").write_text(recipe)
    return [python, "-m", "isogloss", "prepare", "recipe.toml"]


def datatrove(folder: Path, steps: list[str], python: str) -> list[str]:
    script = f"""
    import os
    from datatrove.executor import LocalPipelineExecutor as Executor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import GopherQualityFilter
    from datatrove.pipeline.filters.base_filter import BaseFilter
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    class Language(BaseFilter):
        name = "isogloss"
        def __init__(self):
            super().__init__(batch_size=512)
        def filter(self, doc):
            return self.filter_batch([doc])[0]
        def filter_batch(self, batch):
            import sys
            sys.path.append({str(SOURCE)!r})
            from isogloss.core import identify
            said = identify.load().read([doc.text for doc in batch]).named()
            return [tag in ("unknown", doc.metadata["lang"]) for tag, doc in zip(said, batch)]

    def main():
        steps, config = {steps!r}, MinhashConfig()
        filters = [Language()] * ("langid" in steps) + [GopherQualityFilter(min_stop_words=None)] * ("quality" in steps)
        source = "raw"
        if filters:
            Executor([JsonlReader(source), *filters, JsonlWriter("filtered", compression=None)], tasks={FILES}, workers=2, logging_dir="log0", start_method="fork").run()
            source = "filtered"
        last = [JsonlReader(source)]
        if "dedup" in steps:
            Executor([JsonlReader(source), MinhashDedupSignature("sig", config=config)], tasks={FILES}, workers=2, logging_dir="log1", start_method="fork").run()
            Executor([MinhashDedupBuckets("sig", "buckets", config=config)], tasks=config.num_buckets, workers=2, logging_dir="log2", start_method="fork").run()
            Executor([MinhashDedupCluster("buckets", "remove", config=config)], tasks=1, logging_dir="log3", start_method="fork").run()
            last.append(MinhashDedupFilter("remove"))
        pii = [PIIFormatter()] * ("pii" in steps)
        Executor([*last, *pii, JsonlWriter("out", compression=None)], tasks={FILES}, workers=2, logging_dir="log4", start_method="fork").run()

    if __name__ == "__main__":
        main()
    """
    (folder / "trove.py").write_text(textwrap.dedent(script))
    return [python, "trove.py"]


def data_juicer(folder: Path, steps: list[str], python: str) -> list[str]:
    with (folder / "raw.jsonl").open("wb") as whole:
        for path in sorted((folder / "raw").glob("*.jsonl")):
            whole.write(path.read_bytes())
    process: list[dict[str, object]] = []
    if "quality" in steps:
        process += [
            {"text_length_filter": {"min_len": 50}},
            {"special_characters_filter": {}},
            {"character_repetition_filter": {}},
        ]
    if "dedup" in steps:
        process.append({"document_minhash_deduplicator": {"tokenization": "character"}})
    if "pii" in steps:
        process += [{"clean_email_mapper": {}}, {"clean_ip_mapper": {}}, {"clean_links_mapper": {}}]
    config = {
        "project_name": "n",
        "dataset_path": "raw.jsonl",
        "export_path": "out/out.jsonl",
        "np": 2,
        "process": process,
    }
    (folder / "juicer.yaml").write_text(json.dumps(config))  # JSON is YAML
    return [str(Path(python).with_name("dj-process")), "--config", "juicer.yaml"]


def left(folder: Path) -> int | None:
    """Documents that a tool left."""
    corpus = sorted(folder.glob("runs/n/corpus/*.parquet"))
    if corpus:
        return int(pl.scan_parquet(corpus).select(pl.len()).collect().item())
    made = [path for path in folder.glob("out/**/*.jsonl*") if "stats" not in path.name]
    return sum(path.read_bytes().count(b"\n") for path in made) if made else None


# -- measuring --------------------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [p for child in task.read_text().split() for p in family(int(child))]
        except OSError:
            continue
    return found


def held(pid: int) -> float:
    """Megabytes, what is shared with others counted in part."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    except (OSError, StopIteration):
        return 0.0


def worked(pid: int) -> float:
    """Seconds of processor time of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def run(name: str, folder: Path, command: list[str], n: int, n_bytes: int, show: bool) -> dict[str, object]:
    start = time.monotonic()
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    }
    if name != "isogloss":
        environment.pop("PYTHONPATH", None)
    quiet = None if show else subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdout=quiet, stderr=quiet, env=environment)
    peak, cpu = 0.0, {}
    while process.poll() is None:
        alive = family(process.pid)
        peak = max(peak, sum(map(held, alive)))
        cpu.update({pid: worked(pid) for pid in alive if worked(pid)})
        time.sleep(0.2)
    seconds, total = time.monotonic() - start, sum(cpu.values())
    if process.returncode:
        print(f"{name}: ended with {process.returncode}")
        return {"tool": name, "documents": n, "failed": process.returncode}
    kept = left(folder)
    print(
        f"{name:<12}{n:>10,} documents  {seconds:>7.1f} s  {n / seconds:>7,.0f}/s  {total:>7.1f} s of processor  {n / total:>7,.0f}/s of it  "
        f"{n_bytes / total / 1e6:>5.2f} MB/s of it  peak {peak:>6,.0f} MB  kept {kept if kept is None else format(kept, ',')}"
    )
    return {
        "tool": name, "documents": n, "seconds": round(seconds, 1), "per_second": round(n / seconds), "cpu_seconds": round(total, 1),
        "per_cpu_second": round(n / total), "peak_mb": round(peak), "kept": kept,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1].parent / "shared" / "data")
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000])
    parser.add_argument("--steps", nargs="+", default=list(CHAIN), choices=CHAIN)
    parser.add_argument("--datatrove", metavar="PYTHON")
    parser.add_argument("--data-juicer", metavar="PYTHON")
    parser.add_argument("--only", choices=("isogloss", "datatrove", "data-juicer"))
    parser.add_argument("--show", action="store_true", help="show what the tools print")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    ours = [step for step in given.steps if step in parts.names("steps")]
    tools = [
        ("isogloss", isogloss, sys.executable),
        ("datatrove", datatrove, given.datatrove),
        ("data-juicer", data_juicer, given.data_juicer),
    ]
    found = []
    print(f"steps {' → '.join(ours)}, {os.cpu_count()} cores")
    for n in given.documents:
        for name, make, python in tools:
            if not python or given.only not in (None, name):
                continue
            with tempfile.TemporaryDirectory(prefix="prepare-speed-") as temporary:
                folder = Path(temporary)
                n_bytes = write(folder, given.data, n)
                found.append(run(name, folder, make(folder, ours, python), n, n_bytes, given.show))
    if given.json:
        print(json.dumps({"steps": ours, "runs": found}))


if __name__ == "__main__":
    main()
