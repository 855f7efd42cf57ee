"""The tests, by the rooms of what they test; tests/whole/ starts whole pipelines."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
