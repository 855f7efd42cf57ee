"""What `init` chooses for a key, and why."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A key of params.yaml, the value chosen for it, and why."""

    key: str
    value: Any
    reason: str
