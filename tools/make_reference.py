"""Write docs/reference/recipe.md and docs/reference/cli.md from the code.

python tools/make_reference.py            # write
python tools/make_reference.py --check    # compare; exit code 1 when a page is stale (CI runs this)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import typer

from isogloss.cli import app
from isogloss.stages.reference import cli_reference, reference


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "reference")
    given = parser.parse_args()
    pages = {"recipe.md": reference(), "cli.md": cli_reference(typer.main.get_command(app))}
    stale = [name for name, text in pages.items() if not _same(given.out / name, text)]
    if given.check:
        if stale:
            sys.stderr.write(f"{given.out}: {', '.join(stale)} stale; run: python tools/make_reference.py\n")
        return 1 if stale else 0
    given.out.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (given.out / name).write_text(pages[name], encoding="utf-8")
        sys.stderr.write(f"wrote {given.out / name}\n")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
