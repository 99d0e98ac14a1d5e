"""export: a model → a transformers folder that `from_pretrained` reads, adapters merged, with our card beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

from isogloss.core import files
from isogloss.core.errors import InputError, PlaceError
from isogloss.nn.disk import whole_folder
from isogloss.stages import model


def export(path: str | Path, folder: str | Path) -> Path:
    """Write the model of a run, a shelf or a model folder into `folder`, and return that.

    `config.json` has the names of the labels; a model that gives vectors has beside it what sentence-transformers reads
    (`modules.json`, its pooling). Raises InputError for a family that is no transformers model, PlaceError
    when `folder` is there already and not empty.
    """
    found = model.locate(path)
    card = files.read_json(found / model.CARD)
    if not (found / "config.json").is_file():
        raise InputError(
            f"the family '{card['family']}' of {path} is no transformers model; isogloss.load reads {found} as it is"
        )
    target = Path(folder).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise PlaceError(f"{target} is there already and not empty; give a folder that is not there yet")
    with whole_folder(target) as temporary:
        for source in sorted(found.rglob("*")):  # folders too: sentence-transformers reads a module without files
            copy = temporary / source.relative_to(found)
            copy.mkdir(parents=True, exist_ok=True) if source.is_dir() else shutil.copyfile(source, copy)
    return target
