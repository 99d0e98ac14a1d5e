"""The command line that commands are added to."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="isogloss",
    help="Fine-tune multilingual language models by language.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
