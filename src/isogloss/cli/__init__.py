"""Words to stages, exit codes, and what is on screen: one file for each group of commands, in the order of `isogloss --help`.

Results go to standard output (with `--json`, one JSON document); what is going on goes to standard error.
Exit codes: 0 done, 1 a gate refused, 2 the recipe, the input or the place is wrong, 3 the budget ended before one
evaluated checkpoint, 4 a fault of ours, 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import typer

from isogloss.cli import chain, languages, models, planning, project, text, tokenizers
from isogloss.cli.app import app
from isogloss.cli.screen import Screen, plain, put_json
from isogloss.core.errors import IsoglossError, PlaceError

__all__ = ["app", "chain", "languages", "main", "models", "planning", "project", "text", "tokenizers"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is one sentence and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    _wait_briefly()
    given = sys.argv[1:] if arguments is None else arguments
    sys.exit(_guarded(given))


def _wait_briefly(turns: int = 2000) -> None:
    """Let the threads of a computation (GNU OpenMP, which torch brings) turn only so often while they wait for one another,
    where the user has not said how they wait. Must come before torch.

    They turn 300,000 times by default, and keep a core from the thread that they wait for when something else runs: two
    trainings of `isogloss/mini` on two cores were 5 times as slow as one instead of twice (`benchmarks/shared_cores.py`).
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = str(turns)


def _guarded(given: list[str]) -> int:
    as_json = "--json" in given
    try:
        code = app(given, standalone_mode=False)
        sys.stdout.flush()
        if code == 130:  # typer's word for Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # `isogloss ls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except IsoglossError as error:
        return _fail(str(error), error.exit_code, as_json)
    except (KeyboardInterrupt, typer.Abort):
        kept = "what --again was replacing is being made anew" if "--again" in given else "finished work is kept"
        return _fail(f"interrupted; {kept}, repeat the same command to go on", 130, as_json)
    except typer.Exit as done:
        return done.exit_code
    except MemoryError:
        return _fail("there is not enough memory; lower data.shard_bytes, or use fewer rows at a time", 2, as_json)
    except OSError as error:
        from isogloss.core.files import place_sentence

        return _fail(place_sentence(error), PlaceError.exit_code, as_json)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
            return _fail(
                "the memory does not suffice for a step; raise train.accumulate, lower task.max_length, or use freeze or lora",
                2,
                as_json,
            )
        if type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "format_message"):
            return _fail(f"{error.format_message()} (isogloss --help lists the commands)", 2, as_json)
        if _interrupted(error):
            return _fail("interrupted; finished work is kept, repeat the same command to go on", 130, as_json)
        return _fault(error, as_json)


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: a library that was calling back into Python may have made its own of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or ": KeyboardInterrupt" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _fail(message: str, code: int, as_json: bool) -> int:
    Screen().close()
    message = "\n".join(plain(line) for line in message.split("\n"))
    print(f"\risogloss: {message}" if sys.stderr.isatty() else f"isogloss: {message}", file=sys.stderr, flush=True)
    if as_json:
        put_json({"error": message, "exit_code": code})
    return code


def _fault(error: Exception, as_json: bool) -> int:
    """A fault of ours: the traceback goes to a file, the screen gets one sentence."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    if os.environ.get("ISOGLOSS_DEBUG"):
        print(text, file=sys.stderr)
    with tempfile.NamedTemporaryFile(
        "w", prefix="isogloss-fault-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
    ) as handle:
        handle.write(text)
    return _fail(
        f"a fault of ours ({type(error).__name__}: {str(error)[:200]}); please report it with {handle.name}", 4, as_json
    )


if __name__ == "__main__":
    main()
