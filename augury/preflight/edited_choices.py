"""Choices for params.yaml beside what the user has edited there: an edit for the same images is not taken back."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augury.pipeline import edits
from augury.pipeline.params import PARAMS_FILE
from augury.pipeline.profiles import lay_over
from augury.preflight.suited_arms import Choice
from augury.sources.manifest import MANIFEST

COMMAND, REPLACED = "init", "init replaced"  # what it wrote last, and what stood there before it ever did
FOLDER = "prepare.folder"
PLACE = ("prepare.source", FOLDER)  # what --images says
REFERENCE, POLICIES = "compare.reference", "augment.policies"


@dataclass(frozen=True)
class EditedChoices:
    """What is to be written. kept: edits among it. lost: edits that are not, since --images or other images say so.

    stale: what was written for other images, such as an arm, and not changed since. It goes, or is again what stood
    there before.
    """

    choices: list[Choice]
    kept: dict[str, Any]
    lost: dict[str, Any]
    stale: dict[str, Any]


def with_edits(choices: Sequence[Choice], current: Mapping[str, Any]) -> EditedChoices:
    """The choices, but for what the user changed. current: params.yaml as it stands, flat.

    Changed is what differs from what `init` wrote last; where another one wrote it, as in a clone, what differs from
    the choices; and before the first `init`, what differs from the last commit.
    """
    chosen = {choice.key: choice.value for choice in choices}
    again = current[FOLDER] == chosen[FOLDER]
    earlier = edits.last_written(COMMAND), edits.committed_values()
    written, committed = (each if each.get(FOLDER) == current[FOLDER] else {} for each in earlier)
    before = written or (chosen if again else committed)
    changed = {key: value for key, value in edits.edits(current, before).items() if value != chosen.get(key, value)}
    lost = {key: value for key, value in changed.items() if key in PLACE or not (again or before is committed)}
    kept = {key: value for key, value in changed.items() if key not in lost}
    return EditedChoices([_edited(choice, kept) for choice in choices], kept, lost, _stale(chosen, current))


def _stale(chosen: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """An arm counts as a whole. One that is the reference now stays, and so does a policy that another arm uses.

    Of other keys it has to be known what stood there before, if anything, and of a reference, that the arm is there.
    """
    written, replaced = edits.last_written(COMMAND), edits.last_written(REPLACED)
    stale = {key: value for key, value in written.items() if key not in chosen and current.get(key) == value}
    own = {_arm(key) for key in current if _arm(key) and key not in stale}
    if replaced.get(REFERENCE) not in own:
        stale.pop(REFERENCE, None)
    if REFERENCE not in stale:
        own.add(current[REFERENCE])
    used = {
        f"{POLICIES}.{policy}"
        for key, policies in current.items()
        if _arm(key) in own and key.endswith(".augment")
        for policy in policies
    }
    free = {key: value for key, value in stale.items() if key not in used and _arm(key) not in own}
    return {key: value for key, value in free.items() if replaced or _arm(key) or key.startswith(f"{POLICIES}.")}


def _arm(key: str) -> str:
    """The arm that a key belongs to; "" where it belongs to none."""
    return key.split(".")[2] if key.startswith("classify.arms.") else ""


def write(edited: EditedChoices, choices: Sequence[Choice], current: Mapping[str, Any]) -> None:
    """Into params.yaml. Remembers what was chosen, edits apart, and what that replaced, for the next time."""
    chosen = {choice.key: choice.value for choice in choices}
    written, replaced = edits.last_written(COMMAND), edits.last_written(REPLACED)
    back = {key: replaced[key] for key in edited.stale if key in replaced}
    to_write = {choice.key: choice.value for choice in edited.choices} | back
    lay_over(PARAMS_FILE, edits.nested(to_write), [key for key in edited.stale if key not in back])
    before = {key: value for key, value in current.items() if key not in written} | replaced
    edits.note_written(COMMAND, chosen)
    edits.note_written(REPLACED, {key: value for key, value in before.items() if key in chosen})
    MANIFEST.unlink(missing_ok=True)  # of the images as they were before; `dvc repro` lists them anew


def _edited(choice: Choice, kept: Mapping[str, Any]) -> Choice:
    if choice.key not in kept:
        return choice
    reason = f"yours; without it {edits.in_words({choice.key.split('.')[1]: choice.value})}, {choice.reason}"
    return dataclasses.replace(choice, value=kept[choice.key], reason=reason)
