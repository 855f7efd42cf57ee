"""`python -m augury init --images FOLDER`: look at a folder of images and write the params for it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from augury.pipeline.params import Params
    from augury.preflight.suited_arms import Choice
    from augury.preflight.survey import Survey

LISTED = 3  # names in a line, at most
WIDEST = 34  # characters of a key and its value, before the reason


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look at a folder of labelled images (sizes, colours, counts, damage, copies), which is only read, and write "
        "the section prepare of params.yaml for it, saying what was chosen and why. `git diff params.yaml` shows what "
        "changed, `git checkout params.yaml` undoes it."
    )
    parser.add_argument(
        "--images", required=True, type=Path, metavar="FOLDER",
        help="a folder per class, also below train, val and test; or *.parquet; or labels.csv with path and label",
    )  # fmt: skip
    parser.add_argument("--label-column", metavar="NAME", help="of a table or of Parquet files, if not `label`")
    parser.add_argument(
        "--class-level", type=int, metavar="N", help="how many folders down those of the classes are, if not the first"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")


def main(asked: argparse.Namespace) -> None:
    from augury.pipeline import edits, params
    from augury.pipeline.destinations import check_source
    from augury.pipeline.devices import choose_device
    from augury.preflight.choices import choose
    from augury.preflight.edited_choices import with_edits, write
    from augury.preflight.inventory import sam_weights
    from augury.preflight.layouts import find_layout
    from augury.preflight.survey import survey

    before, current = params.load(), edits.current_values()
    folder = seen_from_here(asked.images)
    check_source(folder, "--images")
    label_column, class_level = asked.label_column, asked.class_level
    if Path(before.prepare.folder).is_relative_to(folder):  # once more; an archive may have left a folder around it
        class_level = class_level or before.prepare.class_level
        if label_column is None and before.prepare.source in ("csv", "parquet"):
            label_column = before.prepare.label_column
    seen = survey(find_layout(folder, label_column, class_level), before.prepare)
    print("\n".join(findings(seen)))
    choices = choose(seen, before, choose_device(before.device).type)
    edited = with_edits(choices, current)
    print("\n" + "\n".join(explained(edited.choices)))
    if edited.lost:
        print(f"\nNo longer as you had changed it: {edits.in_words(edited.lost)}")
    if edited.stale:
        print(f"\nTaken back, as it suits these images no longer: {edits.in_words(edited.stale)}")
    if asked.dry_run:
        print(f"\n{params.PARAMS_FILE} is as it was: --dry-run.")
        return
    write(edited, choices, current)
    print(
        f"\nWritten to {params.PARAMS_FILE}, as `git diff` shows. `python -m augury doctor` says what a run will cost "
        "here, `dvc repro` runs it."
    )
    if edited.kept:
        print(f"Kept as you had changed it: {edits.in_words(edited.kept)}")
    print("\n".join(advice(edited.choices, before)))
    if missing := [finding.problem for finding in sam_weights(params.load().augment) if finding.problem]:
        print("\n".join(missing))


def advice(choices: "list[Choice]", before: "Params") -> list[str]:
    """What only the user knows."""
    lines = []
    if all(choice.value is None for choice in choices if choice.key.startswith("prepare.group_")):
        lines.append(
            "Do several images show one person or thing? Then set group_pattern, or split by train and test folders: a "
            "random split flatters every arm."
        )
    policies = before.augment.policies.values()
    if any(step.name == "HorizontalFlip" for policy in policies for step in policy):
        lines.append(
            "Is a mirror image of another class, as of letters? Then take HorizontalFlip out of augment.policies."
        )
    return lines


def seen_from_here(folder: Path) -> Path:
    """The folder as params.yaml names it: relative where it lies in the checkout, so that others find it as well."""
    real, here = folder.resolve(), folder.cwd()
    return real.relative_to(here) if real.is_relative_to(here) else real


def findings(seen: "Survey") -> list[str]:
    """What was found, in aligned lines."""
    from augury.images.depth import describe
    from augury.images.names import counted, doubtful_names, shortened

    copies = seen.copies
    lines = {"layout": seen.layout.words}
    if seen.unlisted:
        lines["layout"] += f"; {seen.unlisted:,} images in the folder are in no row of it"
    lines["classes"] = counted(seen.class_names, seen.counts["train"])
    ready = " and ".join(split for split in seen.counts if split != "train")
    lines["splits"] = f"{ready} of its own" if ready else "none of its own: a test split will be carved out"
    for split, counts in seen.counts.items():
        key = "per class" if split == "train" else f"  {split}"
        lines[key] = _counts(seen.class_names, counts)
    if questions := doubtful_names(seen.class_names):
        lines["names"] = " ".join(questions)
    lines["sizes"] = _sizes(seen)
    stored = "gray" if seen.channels == 1 else "colour files without colour" if seen.colourless else "colour"
    lines["colour"] = stored
    if seen.depth:
        lines["depth"] = f"more than 8 bits, {describe(seen.depth)}"
    if seen.dark:
        lines["shades"] = f"{seen.dark}: are these masks, or values that are still to be scaled?"
    lines["damaged"] = "none"
    if seen.unreadable:
        lines["damaged"] = f"{len(seen.unreadable)}: {shortened(seen.unreadable, LISTED)} ({seen.first_reason})"
    lines["copies"] = f"{copies.exact} exact; {copies.near:,} images look like another one"
    if copies.examples:
        lines["copies"] += f", such as {' and '.join(copies.examples[0])}"
    if seen.contradictory:
        lines["labels"] = (
            f"exact copies of an image with another label: {seen.contradictory}, which confuse any classifier"
        )
    classes = len(seen.class_names)
    title = f"{seen.layout.folder}: {seen.total:,} images of {classes} classes"
    if not seen.whole:
        title += f"; what follows on sizes, colours, damage and copies is of {seen.looked_at:,} at random"
    return [title, "", *aligned(lines)]


def _counts(names: tuple[str, ...], counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    if low == high:
        return f"{low:,} each"
    span = f"{low:,} ({names[counts.index(low)]}) to {high:,} ({names[counts.index(high)]})"
    return f"{span}, {high / low:.1f} to 1" if high > 1.5 * low else span


def _sizes(seen: "Survey") -> str:
    import numpy as np

    widths, heights = seen.sizes.T
    areas = widths * heights
    median = f"{int(np.median(widths))} x {int(np.median(heights))}"
    if (seen.sizes == seen.sizes[0]).all():
        return f"{median}, all of them"
    smallest, largest = (" x ".join(map(str, seen.sizes[index])) for index in (areas.argmin(), areas.argmax()))
    text = f"{median} (median), from {smallest} to {largest}"
    wide, tall = int((widths > 1.1 * heights).sum()), int((heights > 1.1 * widths).sum())
    return f"{text}; {wide:,} wide and {tall:,} tall ones lose their sides" if wide + tall else text


def aligned(lines: dict[str, str]) -> list[str]:
    width = max(map(len, lines)) + 2
    return [f"  {name:<{width}}{text}" for name, text in lines.items()]


def explained(choices: "list[Choice]") -> list[str]:
    """The choices as they will stand in params.yaml, section by section, each with its reason."""
    shown = [(*choice.key.split(".", 1), _yaml(choice.value), choice.reason) for choice in choices]
    width = min(WIDEST, max(len(f"{key}: {value}") for _, key, value, _ in shown)) + 2
    lines: list[str] = []
    for section, key, value, reason in shown:
        if f"{section}:" not in lines:
            lines.append(f"{section}:")
        lines.append(f"  {f'{key}: {value}  ':<{width}}# {reason}")
    return lines


def _yaml(value: object) -> str:
    if isinstance(value, list):  # steps of a policy by their names
        return f"[{', '.join(step['name'] if isinstance(step, dict) else str(step) for step in value)}]"
    return "null" if value is None else f"'{value}'" if isinstance(value, str) and "(" in value else str(value)
