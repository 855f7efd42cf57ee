"""The crossed analysis against a published one, closed forms, and simulations from known variances."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from augury.evidence.crossed import Crossed, alike_groups, by_case
from augury.evidence.statistics import spread_alike


def crossed(random: np.random.Generator, rows: int, cases: int, spreads: tuple[float, float, float]) -> np.ndarray:
    """Values (R, n) without a gain: standard deviations between rows, between cases, and of single values."""
    of_rows, of_cases, single = spreads
    return (
        random.normal(0, of_rows, (rows, 1))
        + random.normal(0, of_cases, cases)
        + random.normal(0, single, (rows, cases))
    )


def orthogonal(rows: int, cases: int, mean_squares: tuple[float, float, float], gains: np.ndarray) -> np.ndarray:
    """Values (R, n) whose rows have these mean gains, with exactly these MS_I and MS_E."""
    _, of_cases, errors = mean_squares
    column = np.where(np.arange(cases) % 2, 1.0, -1.0)
    row = np.zeros(rows)
    row[:2] = 1, -1
    other = np.where(np.arange(cases) // 2 % 2, 1.0, -1.0)
    other -= other.mean() + column * (other @ column) / cases
    error = np.outer(row, other)
    values = gains[:, None] + column * np.sqrt(of_cases * (cases - 1) / (rows * cases))
    return values + error * np.sqrt(errors * (rows - 1) * (cases - 1) / (error**2).sum())


def test_the_published_analysis_of_van_dyke_s_readers() -> None:
    """5 readers, 114 cases, two modalities: MRMCaov and RJafroc both print these (Hillis 2007 has them too)."""
    # Empirical AUC of each reader, from RJafroc's documentation; mean square and covariances from MRMCaov's.
    first = np.array([0.9196457, 0.8587762, 0.9038647, 0.9731079, 0.8297907])
    second = np.array([0.9478261, 0.9053140, 0.9217391, 0.9993559, 0.9299517])
    mean_square, covariance, other_covariance = 0.0005510306, 0.0003440748, 0.0002390284
    gains = second - first
    cases, rows = 114, 5
    # Two differences that share cases have twice the covariance of two readers' figures, less that across modalities.
    shared = 2 * (covariance - other_covariance)
    errors = 0.01
    values = orthogonal(rows, cases, (0, errors + shared * cases * rows, errors), gains)
    analysis = Crossed.of(values)
    assert analysis.gain == pytest.approx(0.0438003, abs=1e-6)
    assert analysis.row_variance == pytest.approx(2 * mean_square, rel=1e-4)
    assert analysis.shared == pytest.approx(shared)
    assert analysis.standard_error == pytest.approx(0.02074864, abs=1e-6)
    assert analysis.df == pytest.approx(15.25967, abs=2e-3)
    p_value = 2 * stats.t.sf(analysis.gain / analysis.standard_error, analysis.df)
    assert p_value == pytest.approx(0.05166569, abs=1e-5)
    reach = stats.t.isf(0.025, analysis.df) * analysis.standard_error
    assert (analysis.gain - reach, analysis.gain + reach) == pytest.approx((-0.0003589, 0.0879595), abs=1e-6)
    # Ours is as sure as that at most.
    assert p_value < analysis.p_value < 0.1
    assert reach < analysis.half_width(0.05) < 1.2 * reach


def test_mean_squares_are_those_of_the_two_way_analysis() -> None:
    values = np.random.default_rng(0).normal(0.1, 1, (4, 30))
    rows, cases = values.shape
    grand, of_rows, of_cases = values.mean(), values.mean(axis=1), values.mean(axis=0)
    ms_r = cases * ((of_rows - grand) ** 2).sum() / (rows - 1)
    ms_i = rows * ((of_cases - grand) ** 2).sum() / (cases - 1)
    ms_e = ((values - of_rows[:, None] - of_cases + grand) ** 2).sum() / ((rows - 1) * (cases - 1))
    analysis = Crossed.of(values)
    variance = (ms_r + max(0, ms_i - ms_e)) / (cases * rows)
    assert analysis.standard_error**2 == pytest.approx(variance)
    assert analysis.df == pytest.approx(min(cases - 1, variance**2 / ((ms_r / (cases * rows)) ** 2 / (rows - 1))))


def test_one_row_is_the_t_test_over_images() -> None:
    values = np.random.default_rng(0).normal(0.2, 1, (1, 50))
    analysis, expected = Crossed.of(values), stats.ttest_1samp(values[0], 0)
    assert analysis.p_value == pytest.approx(expected.pvalue)
    assert analysis.interval(0.05) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert analysis.df == 49
    assert analysis.next_gains() is None
    assert analysis.rows_to_decide(0.05, 0.005) is None


def test_rows_that_share_nothing_are_a_t_test_over_rows() -> None:
    """Where the images' part is below what their errors explain, rows alone count."""
    values = orthogonal(4, 40, (0, 0.5, 1.0), np.array([0.1, 0.2, 0.4, 0.5]))
    analysis, expected = Crossed.of(values), stats.ttest_1samp(values.mean(axis=1), 0)
    assert analysis.shared == 0
    assert analysis.p_value == pytest.approx(expected.pvalue)
    assert analysis.df == pytest.approx(3)


def test_rows_that_agree_are_a_t_test_over_images() -> None:
    values = np.repeat(np.random.default_rng(0).normal(0.2, 1, (1, 50)), 5, axis=0)
    assert Crossed.of(values).p_value == pytest.approx(stats.ttest_1samp(values[0], 0).pvalue)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 20)])
def test_no_difference_at_all_is_no_gain(shape: tuple[int, int]) -> None:
    analysis = Crossed.of(np.zeros(shape))
    assert analysis.p_value == 1
    assert analysis.gain == 0
    assert 0 <= analysis.power(0.005, 0.05) <= 1
    assert analysis.would_show(0.05) >= 0
    assert analysis.df >= 1


def test_the_same_gain_on_every_image_is_as_sure_as_their_number() -> None:
    assert Crossed.of(np.ones((3, 4))).p_value == pytest.approx(2 / 2**4)
    assert Crossed.of(np.ones((3, 1))).p_value > 0.05  # one group says nothing of others
    assert Crossed.of(np.ones((2, 1000))).p_value == pytest.approx(1e-12)


@pytest.mark.parametrize("rows", [2, 3])
def test_rows_that_agree_by_chance_are_no_surer_than_their_cases(rows: int) -> None:
    """Of few images two seeds often get as many right as each other, but others: of 50, in a tenth of comparisons."""
    random, found = np.random.default_rng(0), []
    for _ in range(400):
        found.append(Crossed.of(random.choice([-1, 0, 1], (rows, 50), p=[0.025, 0.95, 0.025])).p_value)
    assert np.mean(np.array(found) <= 0.05) <= 0.05
    values = np.zeros((2, 50))
    values[0, 0] = values[1, 1] = 1
    analysis = Crossed.of(values)
    assert analysis.row_variance == 0
    assert analysis.interval(0.05)[0] < 0 < analysis.interval(0.05)[1]
    folds = Crossed.of_folds(np.array([0.1, 0.1]), 0.01, 20, 1.0)
    assert folds.interval(0.05)[0] < 0 < folds.interval(0.05)[1]
    assert folds.p_value > 0.05


def test_without_any_variance_the_p_value_belongs_to_the_interval_too() -> None:
    analysis = Crossed(0.1, 1, 12, 0.0, 0.0, 0.0)
    assert analysis.interval(analysis.p_value)[0] == pytest.approx(0, abs=1e-9)


def test_an_interval_ends_where_gains_do() -> None:
    """Of two rows at the level of one of sixty comparisons, Student's quantile would take it beyond 1,000 points."""
    rows = np.array([[0.2], [-0.2]])
    analysis = Crossed.of(rows + np.random.default_rng(0).choice([-0.5, 0.0, 0.5], (2, 50)))
    assert analysis.half_width(0.05 / 60) > 10
    assert analysis.interval(0.05 / 60) == (-1.0, 1.0)


def test_a_p_value_belongs_to_the_interval_that_ends_at_zero() -> None:
    analysis = Crossed(0.01, 3, 500, 1e-5, 2e-6, 8e-6)
    assert analysis.interval(analysis.p_value)[0] == pytest.approx(0, abs=1e-9)
    assert Crossed(-0.01, 3, 500, 1e-5, 2e-6, 8e-6).p_value == pytest.approx(analysis.p_value)


# Rows that differ not at all to those that differ more than cases do; cases whose errors rows share, or not.
SPREADS = [(0.0, 0.0, 1.0), (0.0, 0.7, 1.0), (0.07, 0.7, 1.0), (0.25, 0.7, 1.0), (0.25, 0.0, 1.0), (0.25, 1.5, 1.0)]


@pytest.mark.parametrize("rows", [2, 3, 5, 8])
def test_at_most_one_verdict_in_twenty_is_false(rows: int) -> None:
    """And at most one in a hundred at that level, which Holm's correction asks for."""
    random = np.random.default_rng(rows)
    trials, cases = 1500, 150
    for spreads in SPREADS:
        analyses = [Crossed.of(crossed(random, rows, cases, spreads)) for _ in range(trials)]
        for alpha in (0.05, 0.01):
            false = np.mean([abs(analysis.gain) > analysis.half_width(alpha) for analysis in analyses])
            allowed = stats.binom.isf(1e-3, trials, alpha) / trials
            assert false <= allowed, (spreads, alpha)
            if rows >= 5 and alpha == 0.05:  # nor is it much too careful: 93 to 97% of the intervals hold
                assert false >= stats.binom.isf(1 - 1e-3, trials, 0.03) / trials, spreads


def partly_idle(values: np.ndarray) -> Crossed:
    """Rows of zeros are idle."""
    return replace(Crossed.of(values), idle=int((~values.any(axis=1)).sum()))


def test_rows_that_are_not_idle_are_analysed_as_they_are() -> None:
    values = np.zeros((5, 40))
    values[:3] = np.random.default_rng(0).choice([-1, 0, 1], (3, 40))
    moved, expected = partly_idle(values).moved, Crossed.of(values[:3])
    assert (moved.rows, moved.idle) == (3, 0)
    assert moved.gain == pytest.approx(expected.gain)
    assert moved.row_variance == pytest.approx(expected.row_variance)
    assert moved.mean_square == pytest.approx((values[:3].mean(axis=1) ** 2).mean())


def test_gains_that_few_rows_have_are_as_unsure_as_their_size_on_others() -> None:
    few, many = np.zeros((4, 100)), np.zeros((4, 100))
    few[0, :2], many[:3, :10] = 1, 1
    analyses = {"few": partly_idle(few), "many": partly_idle(many)}
    found = spread_alike(analyses)
    of_all = (0.02**2 + 3 * 0.1**2) / 4
    size = 0.02 ** (2 / 3) * of_all ** (2 / 3)  # a row of its own, and two of all
    assert found["few"].row_variance == pytest.approx(2 / 6 * 4 / 6 * size)  # (1 + 1) / (4 + 2) of the rows
    assert found["few"].raised == pytest.approx(found["few"].row_variance - analyses["few"].row_variance)
    assert found["few"].gain == analyses["few"].gain
    assert found["many"] == analyses["many"]  # it shows more by itself
    assert spread_alike({"few": analyses["few"]}) == {"few": analyses["few"]}
    assert spread_alike(dict(analyses, none=partly_idle(np.zeros((4, 100)))))["none"].row_variance == 0


def test_gains_of_no_idle_row_are_left_alone() -> None:
    some = np.zeros((4, 20))
    some[0] = 0.5
    equal_by_chance = Crossed.of(some)
    assert spread_alike({"this": equal_by_chance, "other": partly_idle(some)})["this"] == equal_by_chance


@pytest.mark.parametrize("rows", [4, 8])
def test_intervals_of_gains_on_some_rows_hold_the_mean_of_further_rows(rows: int) -> None:
    """Of families of four whose gains, 0.3 points and no more than 0.2 off, are there on a third of the rows."""
    random, share, cases, gain = np.random.default_rng(rows), 0.3, 60, 0.3
    held: dict[str, list[bool]] = {"alone": [], "spread": []}
    for _ in range(400):
        family = {}
        for arm in range(4):
            values = gain + crossed(random, rows, cases, (0.2, 0.6, 0.6))
            family[arm] = partly_idle(values * (random.random((rows, 1)) < share))
        for name, analyses in (("alone", family), ("spread", spread_alike(family))):
            shown = [one for one in analyses.values() if one.idle < one.rows]
            held[name] += [abs(one.gain - share * gain) <= one.half_width(0.05) for one in shown]
    assert np.mean(held["spread"]) >= 0.93
    assert np.mean(held["alone"]) < 0.92


def test_labels_that_rows_have_in_common_are_corrected_for() -> None:
    """Rows of 10 labels out of a pool of 20 differ half as much as rows of labels that are all new."""
    random = np.random.default_rng(0)
    gains, variances = [], []
    for _ in range(4000):
        pool = random.normal(size=20)
        rows = np.array([random.permutation(pool)[:10].mean() for _ in range(4)])
        crossed = replace(Crossed.of(rows[:, None] + np.zeros((4, 2))), overlap=0.5 / (1 - 0.5))
        gains.append(crossed.gain)
        variances.append(crossed.standard_error**2)
    assert np.mean(variances) == pytest.approx(np.var(gains), rel=0.06)


def test_folds_are_corrected_for_shared_training_images() -> None:
    gains = np.array([0.01, 0.03, 0.02, 0.00, 0.04])
    folds = Crossed.of_folds(gains, 0.0, 1000, overlap=1 / 4)
    assert folds.standard_error == pytest.approx(gains.std(ddof=1) * np.sqrt(1 / 5 + 1 / 4))
    assert folds.df == 4
    assert folds.p_value == pytest.approx(2 * stats.t.sf(folds.gain / folds.standard_error, 4))
    assert folds.cases_to_decide(0.05, 0.005) is None


@pytest.mark.parametrize("rows", [2, 3, 6])
def test_power_is_what_simulation_finds(rows: int) -> None:
    """On the average, within 5 points."""
    random = np.random.default_rng(0)
    cases, spreads, alpha, gain = 120, (0.1, 0.8, 1.0), 0.05, 0.3
    found, printed = [], []
    for trial in range(1000):
        analysis = Crossed.of(gain + crossed(random, rows, cases, spreads))
        found.append(analysis.gain > analysis.half_width(alpha))
        if trial < 200:
            printed.append(analysis.power(gain, alpha))
    assert np.mean(printed) == pytest.approx(np.mean(found), abs=0.05)
    assert analysis.power(0, alpha) < 0.03
    assert analysis.power(analysis.would_show(alpha), alpha) == pytest.approx(0.8, abs=1e-6)


def test_the_next_row_gains_as_often_as_is_said() -> None:
    random = np.random.default_rng(0)
    said, happened = [], []
    for mean in random.uniform(-4, 4, 4000):
        rows = random.normal(mean, 1, 7)
        analysis = Crossed(rows[:6].mean(), 6, 1000, rows[:6].var(ddof=1), 0.0, 0.0)
        said.append(analysis.next_gains())
        happened.append(rows[6] > 0)
    for low, high in ((0.1, 0.5), (0.5, 0.9)):
        chosen = (np.array(said) > low) & (np.array(said) < high)
        assert np.mean(np.array(happened)[chosen]) == pytest.approx(np.array(said)[chosen].mean(), abs=0.04)
    assert Crossed(0.0, 3, 10, 0.0, 0.0, 0.0).next_gains() == 0.5
    # Seven of eight rows idle: the ninth gains by a fifth at most, and how the others are spread nobody knows.
    rare = Crossed(0.005 / 8, 8, 1000, 3e-6, 0.0, 0.0, idle=7)
    assert rare.next_gains() is None
    values = np.zeros((8, 400))
    values[:4] = np.random.default_rng(1).choice([-1, 0, 1], (4, 400), p=[0.1, 0.75, 0.15])
    of_four = Crossed.of(values[:4]).next_gains()
    assert of_four is not None
    assert partly_idle(values).next_gains() == pytest.approx(0.5 * of_four, abs=0.005)
    raised = spread_alike({"this": partly_idle(values), "other": partly_idle(10 * values)})["this"]
    assert raised.raised > 0
    assert raised.next_gains() == pytest.approx(0.5 * of_four, abs=0.005)


def test_what_would_decide() -> None:
    """Rows where they differ, images where those are few, nothing where it takes more than anyone has."""
    by_rows = Crossed(0.004, 3, 10_000, 1.2e-5, 2e-6, 1e-9)
    rows = by_rows.rows_to_decide(0.05, 0.005)
    assert rows is not None
    assert by_rows.with_counts(rows, 10_000).half_width(0.05) <= 0.004
    assert by_rows.with_counts(rows - 1, 10_000).half_width(0.05) > 0.004
    assert by_rows.cases_to_decide(0.05, 0.005) is None  # more images leave what rows differ by
    by_images = Crossed(0.004, 3, 1000, 1e-9, 1e-9, 1e-5)
    assert by_images.rows_to_decide(0.05, 0.005) is None
    images = by_images.cases_to_decide(0.05, 0.005)
    assert images is not None
    assert images >= 1000
    assert by_images.with_counts(3, images).half_width(0.05) <= 0.004
    near_zero = Crossed(0.0, 3, 1000, 1e-9, 1e-9, 1e-5)  # decided once it is within what matters
    nothing = near_zero.cases_to_decide(0.05, 0.005)
    assert nothing is not None
    assert near_zero.with_counts(3, nothing).half_width(0.05) <= 0.005


def test_groups_take_the_place_of_images() -> None:
    """Images that are right or wrong together count once; unequal groups leave the gain what it is."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    of_group = random.normal(0.1, 1, 40) + random.normal(0, 0.1, (2, 40))
    gains = of_group.mean(axis=1)
    influences = of_group[:, groups] - gains[:, None]
    assert by_case(gains, influences, None).shape == (2, 200)
    cases = by_case(gains, influences, groups)
    assert cases == pytest.approx(of_group)
    assert Crossed.of(by_case(gains, influences, None)).p_value < Crossed.of(cases).p_value
    uneven = random.integers(0, 7, 200)
    assert Crossed.of(by_case(gains, influences, uneven)).gain == pytest.approx(gains.mean())


def test_unequal_groups_make_no_more_verdicts_than_equal_ones() -> None:
    """Images of a group are alike: of a patient, say. One group with most of the images pulls the mean to itself."""
    random = np.random.default_rng(0)
    for sizes in ([500, *[1] * 200], [300, 200, *[5] * 40], [100, *[10] * 30]):
        groups, found = np.repeat(np.arange(len(sizes)), sizes), 0
        for _ in range(300):
            alike = random.normal(size=len(sizes))[groups] + random.normal(size=len(groups))
            values = np.sign(alike)[None] * (abs(alike) > 2)
            gains = values.mean(axis=1)
            found += Crossed.of(by_case(gains, values - gains[:, None], groups), groups).p_value <= 0.05
        assert found <= 0.08 * 300
    assert alike_groups(np.repeat(np.arange(5), 7)) == pytest.approx(5)
    assert Crossed.of(np.ones((2, 21)), np.repeat(np.arange(21), [500, *[1] * 20])).cases == 1


def test_what_would_show_is_found_where_two_rows_agree_by_chance() -> None:
    agreeing = Crossed(0.02, rows=2, cases=18, row_variance=1e-6, interaction=0.004, shared=1e-6)
    shown = agreeing.would_show(0.01)
    assert agreeing.power(shown, 0.01) == pytest.approx(0.8)
