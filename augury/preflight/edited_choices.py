"""Choices for params.yaml beside what the user has edited there: an edit for the same images is not taken back."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augury.pipeline import edits
from augury.pipeline.params import PARAMS_FILE
from augury.pipeline.profiles import lay_over
from augury.preflight.choice import Choice
from augury.sources.manifest import MANIFEST

COMMAND = "init"
FOLDER = "prepare.folder"
PLACE = ("prepare.source", FOLDER)  # what --images says


@dataclass(frozen=True)
class EditedChoices:
    """What is to be written. kept: edits among it. lost: edits that are not, since --images or other images say so."""

    choices: list[Choice]
    kept: dict[str, Any]
    lost: dict[str, Any]


def with_edits(choices: Sequence[Choice], current: Mapping[str, Any]) -> EditedChoices:
    """The choices, but for what the user changed. current: params.yaml as it stands, flat.

    Changed is what differs from what `init` wrote last; where another one wrote it, as in a clone, what differs from
    the choices; and before the first `init`, what differs from the last commit.
    """
    chosen = {choice.key: choice.value for choice in choices}
    again = current[FOLDER] == chosen[FOLDER]
    written, committed = (each if each.get(FOLDER) == current[FOLDER] else {} for each in _earlier())
    before = written or (chosen if again else committed)
    changed = {key: value for key, value in edits.edits(current, before).items() if value != chosen.get(key, value)}
    lost = {key: value for key, value in changed.items() if key in PLACE or not (again or before is committed)}
    kept = {key: value for key, value in changed.items() if key not in lost}
    return EditedChoices([_edited(choice, kept) for choice in choices], kept, lost)


def write(edited: EditedChoices, choices: Sequence[Choice]) -> None:
    """Into params.yaml. Remembers what was chosen, edits apart, for the next time."""
    lay_over(PARAMS_FILE, edits.nested({choice.key: choice.value for choice in edited.choices}))
    edits.note_written(COMMAND, {choice.key: choice.value for choice in choices})
    MANIFEST.unlink(missing_ok=True)  # of the images as they were before; `dvc repro` lists them anew


def _earlier() -> tuple[dict[str, Any], dict[str, Any]]:
    return edits.last_written(COMMAND), edits.committed_values()


def _edited(choice: Choice, kept: Mapping[str, Any]) -> Choice:
    if choice.key not in kept:
        return choice
    reason = f"yours; without it {edits.in_words({choice.key.split('.')[1]: choice.value})}, {choice.reason}"
    return dataclasses.replace(choice, value=kept[choice.key], reason=reason)
