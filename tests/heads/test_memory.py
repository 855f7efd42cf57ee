"""The memory of what was computed of tensors."""

from collections.abc import Callable

import pytest
import torch

from augury.heads import memory
from augury.heads.memory import remembered

COMPUTED: list[int] = []
INPUT = torch.arange(6.0).view(2, 3)


def twice(values: torch.Tensor, factor: float, summand: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
    COMPUTED.append(len(values))
    return values.float() * factor, values.float().sum(dim=0)


def plus(values: torch.Tensor, factor: float, summand: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
    COMPUTED.append(len(values))
    return values.float() + factor, values.float().sum(dim=0)


@pytest.fixture(autouse=True)
def nothing_computed() -> None:
    COMPUTED.clear()


def test_the_same_is_computed_once() -> None:
    first = remembered(twice, INPUT, 2.0)
    again = remembered(twice, INPUT.clone(), 2.0)
    assert COMPUTED == [2]
    assert len(again) == 2
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert len(list(memory.STORE.iterdir())) == 1


@pytest.mark.parametrize(
    "inputs",
    [
        (INPUT + 1, 2.0), (INPUT.view(3, 2), 2.0), (INPUT.bfloat16(), 2.0), (INPUT.T, 2.0), (INPUT, 2.5),
        (INPUT, 2.0, INPUT),
    ],
    ids=["value", "shape", "type", "layout", "number", "one more"],
)  # fmt: skip
def test_another_input_is_computed_anew(inputs: tuple[torch.Tensor, float]) -> None:
    remembered(twice, INPUT, 2.0, None)
    for _ in range(2):
        output, _ = remembered(twice, *inputs)
        assert torch.equal(output, inputs[0].float() * inputs[1])
    assert len(COMPUTED) == 2


def test_another_function_is_another_memory() -> None:
    """As the same one is with other code."""
    assert not torch.equal(remembered(twice, INPUT, 2.0)[0], remembered(plus, INPUT, 2.0)[0])
    assert len(COMPUTED) == 2


def test_another_number_of_threads_is_another_memory() -> None:
    """As sums may be rounded differently: what a stage leaves goes by its threads, not by those of an earlier run."""
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            remembered(twice, INPUT, 2.0)
    finally:
        torch.set_num_threads(threads)
    assert len(COMPUTED) == 2


@pytest.mark.parametrize("damage", [lambda _: b"", lambda whole: whole[:-30], lambda whole: bytes(len(whole))])
def test_what_was_damaged_is_computed_anew(damage: Callable[[bytes], bytes]) -> None:
    """As a machine that loses power may leave it."""
    first = remembered(twice, INPUT, 2.0)
    [stored] = memory.STORE.iterdir()
    stored.write_bytes(damage(stored.read_bytes()))
    for _ in range(2):
        assert torch.equal(remembered(twice, INPUT, 2.0)[0], first[0])
    assert len(COMPUTED) == 2


def test_what_fails_leaves_nothing() -> None:
    def fail(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        remembered(fail, INPUT)
    assert not memory.STORE.exists()
