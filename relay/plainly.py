"""What an operator can mend is one line on stderr and exit code 2; a bug shows its traceback,
Ctrl-C none.

And how a command is brought in, which may be what an operator has to mend.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from relay.errors import ConfigError, RecordingError, StoreError

EXIT_CANNOT_START: Final = 2


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn what an operator can mend into a message and an exit code; let bugs be bugs."""
    try:
        yield
    except (ConfigError, RecordingError, StoreError) as error:
        _give_up(error)
    except BaseExceptionGroup as group:
        interrupted, rest = group.split(KeyboardInterrupt)
        if interrupted is not None and rest is None:  # Ctrl-C, in as many nurseries as there were
            raise click.Abort from None
        mendable, rest = group.split((ConfigError, StoreError))
        if mendable is None or rest is not None:
            raise
        _give_up(_only(mendable))


def brought(module: str) -> Any:
    """A module of ours with all that it imports, which stays: nobody looks through it for garbage.

    To do so is a sixth of a start while it imports, and as much again at the first collection.
    """
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def from_extra(module: str) -> Any:
    """A module of ours that needs the extra `demo`. Raises ConfigError without it."""
    try:
        return brought(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this needs the extra `demo` ({error.name} is missing): `make setup` in a checkout"
        ) from None


def _give_up(error: BaseException) -> None:
    click.echo(f"relay: {error}", err=True)
    sys.exit(EXIT_CANNOT_START)


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
