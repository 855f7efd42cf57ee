"""The one exception that is meant for the user, and how it names what is allowed."""

from collections.abc import Collection, Iterable


class UserError(Exception):
    """Something the user can put right.

    Its message is one line (or one line per key or channel) that names the key, file or count at fault
    and what is allowed. `augury.pipeline.stage.run` prints it without a traceback.
    """


def unknown(key: str, value: object, allowed: Iterable[str]) -> str:
    return f"{key}: unknown {value!r}; choose from {', '.join(allowed)}"


def check_known(key: str, value: object, allowed: Collection[str]) -> None:
    """Raise UserError where a value is not among those that are allowed."""
    if value not in allowed:
        raise UserError(unknown(key, value, allowed))


def one_line(error: BaseException) -> str:
    """What an exception of a library says, without its line breaks; its class's name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
