"""What is wrong with a settings file, in one line per faulty key: what it holds and what is allowed."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type, prefix: str = "") -> str:
    """One line per problem: the key's path, what it holds, what is allowed."""
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(map(str, [*filter(None, [prefix]), *problem["loc"]]))
        message = problem["msg"][0].lower() + problem["msg"][1:]
        match problem["type"]:
            case "extra_forbidden" | "unexpected_keyword_argument":
                lines.append(f"{key}: unknown key; choose from {', '.join(_keys_at(model, problem['loc'][:-1]))}")
            case "missing":
                lines.append(f"{key}: missing")
            case "literal_error":
                allowed = problem["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
                lines.append(f"{key}: unknown {problem['input']!r}; choose from {allowed}")
            case "value_error":  # raised by a validator of this file, which words it in full
                section = f"{key}." if key else ""
                lines.append(f"{section}{problem['ctx']['error']}")
            case _:
                lines.append(f"{key}: {problem['input']!r}: {message}")
    return "\n".join(lines)


def _keys_at(model: type, location: tuple[int | str, ...]) -> list[str]:
    """The keys that `model` allows at `location`."""
    annotation: Any = model
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[str(part)].annotation
        else:  # a list or a mapping: the type of its values
            annotation = get_args(annotation)[-1]
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    return [field.name for field in dataclasses.fields(annotation)]


def unknown(key: str, value: object, allowed: Iterable[str]) -> str:
    return f"{key}: unknown {value!r}; choose from {', '.join(allowed)}"
