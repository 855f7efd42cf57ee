"""Numbers in words and figures."""

import pytest

from augury.report.numbers import (
    decimals,
    large,
    number,
    percent,
    points_between,
    points_of,
    scientific,
    signed,
)


@pytest.mark.parametrize(
    ("points", "text"), [(0.424, "+0.42"), (-0.3, "−0.30"), (0.004, "0.00"), (-0.004, "0.00"), (0.0, "0.00")]
)
def test_signed(points: float, text: str) -> None:
    assert signed(points) == text


@pytest.mark.parametrize(
    ("values", "figures", "digits"),
    [([516.5], 4, 1), ([12.25, 516.5], 4, 2), ([-0.107, None, 0.0], 2, 2), ([5e-9], 2, 6), ([12345], 2, 0), ([], 4, 2)],
)
def test_decimals(values: list[float | None], figures: int, digits: int) -> None:
    assert decimals(values, figures) == digits


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234.56, 1, "1,234.6"),
        (-0.046, 2, "−0.05"),
        (-0.004, 2, "0.00"),
        (-3, 0, "−3"),
        (0.0, 2, "0.00"),
        (None, 2, "—"),
    ],
)
def test_number(value: float | None, digits: int, text: str) -> None:
    assert number(value, digits) == text


def test_small_numbers_are_short() -> None:
    assert [scientific(each) for each in (3.2e-16, 0.0, 4.6e-9, 1e-10)] == ["3e−16", "0", "5e−9", "1e−10"]


def test_large_numbers_are_short() -> None:
    assert [large(each) for each in (0, 999_999.4, 1_234_567, 4.1e9, 2.5e16)] == [
        "0", "999,999", "1.23 × 10⁶", "4.1 × 10⁹", "25 × 10¹⁵",
    ]  # fmt: skip


def test_shares_are_shown_in_percent_and_their_differences_in_points() -> None:
    assert (percent(0.4242), percent(0.4242, 0)) == ("42.4%", "42%")
    assert (points_of(0.004242), points_of(-0.003, 1)) == ("+0.42", "−0.3")
    assert points_between(-0.003, 0.004242) == "−0.30 to +0.42"
