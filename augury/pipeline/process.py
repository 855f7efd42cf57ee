"""What every process has in common that a user starts: a foreseen error ends it with one line, and no traceback."""

import argparse
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from augury.pipeline.errors import UserError, one_line


@contextmanager
def one_line_errors(name: str, interrupted: str = "interrupted") -> Iterator[None]:
    """Log to standard error; end with status 1 and a line per fault on a foreseen error, with 130 on Ctrl-C.

    name: what the lines begin with. interrupted: what is said on Ctrl-C.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the output, such as `head`, has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is the rest of it flushed there
        sys.exit(1)
    except (UserError, OSError) as error:
        sys.exit("\n".join(f"{name}: {line}" for line in str(error).splitlines()))
    except MemoryError as error:
        sys.exit(f"{name}: not enough memory ({one_line(error)})")
    except KeyboardInterrupt:
        logging.error("%s: %s", name, interrupted)
        sys.exit(130)


def check_numbers(asked: argparse.Namespace, **least: int) -> None:
    """Raise UserError where an option that was given is below its least value, or too large for 64 bits."""
    for key, lowest in least.items():
        if (value := getattr(asked, key)) is not None and not lowest <= value < 2**63:
            raise UserError(f"--{key.replace('_', '-')}: {value} is not possible; choose {lowest} or more")


def arguments_of(main: Callable[..., object], given: Sequence[str]) -> list[Any]:
    """The words of a command as the parameters of `main` that have no default, whole numbers where it says int.

    Raises UserError where they are too many or too few, or one is no number.
    """
    wanted = [each for each in inspect.signature(main).parameters.values() if each.default is each.empty]
    check_arguments([each.name for each in wanted], given)
    return [
        _whole(value, each.name) if each.annotation is int else value for value, each in zip(given, wanted, strict=True)
    ]


def check_arguments(names: Sequence[str], given: Sequence[str]) -> None:
    """Raise UserError unless there are as many words as names."""
    if len(given) != len(names):
        raise UserError(f"expected {' '.join(names) or 'no arguments'}; found {' '.join(given) or 'none'}")


def _whole(value: str, name: str) -> int:
    if not value.isdecimal():
        raise UserError(f"{name}: {value!r} is not a whole number")
    return int(value)
