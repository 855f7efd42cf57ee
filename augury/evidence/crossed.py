"""A gain on replicates crossed with test images: what it would be on new ones of both, by the analysis of readers
crossed with cases (Obuchowski & Rockette 1995; Hillis 2007).

A row is what was made anew, a replicate or a seed; a case is a test image, or a group of them. Gains are fractions.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

SMALLEST_P = 1e-12
MOST_ROWS, MOST_CASES = 100, 10_000_000  # that are worth naming as what would decide
POWER = 0.8
ROUNDING = 1e-9  # of a variance


@lru_cache(maxsize=10_000)
def _quantile(alpha: float, df: int) -> float:
    """Of Student's distribution: what its size exceeds in a share of alpha."""
    from scipy import stats

    return float(stats.t.isf(alpha / 2, max(1, df)))


@lru_cache
def _slices(df: int) -> np.ndarray:
    """What a variance with df degrees of freedom is found to be, as a share of what it is, in slices equally likely."""
    from scipy import stats

    return stats.chi2.ppf((np.arange(500) + 0.5) / 500, df) / df


@dataclass(frozen=True)
class Crossed:
    """The gain with its variance, in parts.

    rows, cases: how many of each; unequal groups count for as many equal ones as tell as much. row_variance: of the
    rows' gains (MS_R / n). interaction: of a row's gain, from its own errors on these cases (MS_E / n). shared: of
    the mean gain, from the cases being the same for all rows (max(0, MS_I - MS_E) / (n R)). overlap: test images
    per training image where rows share training images but not test images, whose gains are then alike:
    row_variance / R grows to row_variance (1 / R + overlap) (Nadeau & Bengio 2003). Where rows have a share s of
    their labels in common, s / (1 - s): their variance shows 1 - s of that of labels. idle: rows on which images were
    given no weight, so that nothing differs. raised: by how much `spread_alike` made row_variance larger.

    The variance V = row_variance / R + shared has df = V^2 / ((row_variance / R)^2 / (R - 1)) (Hillis 2007). A t test
    with these is wrong too often where rows are few: without a gain in up to 13% of comparisons with R = 2, in 8% with
    R = 3, in 6% with R = 5 at level 5%, and at level 1%, which Holm's correction asks of it, in 8, 3.5 and 1.8%. The
    fewer the rows, the more often they agree by chance, which makes V small and df large at once. Test and interval are
    therefore those of Banerjee (1961), half-width^2 = t(R - 1)^2 row_variance / R + t(n - 1)^2 shared: each part with
    the quantile of its own degrees of freedom. By simulation they err in about the share of comparisons that they allow
    (benchmarks/RESULTS.md), and are too careful with R = 2. With one row, or with rows that share nothing, this is the
    ordinary t test.
    """

    gain: float
    rows: int
    cases: int
    row_variance: float
    interaction: float
    shared: float
    overlap: float = 0.0
    idle: int = 0
    raised: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray, groups: np.ndarray | None = None) -> "Crossed":
        """values: (R, n), of which the gain is the mean. groups: as in `by_case`, where the cases are such.

        A single case says nothing of others: its variance is 1, the largest that a gain can have.
        """
        rows, cases = values.shape
        gain, worth = float(values.mean()), cases if groups is None else round(alike_groups(groups))
        if worth < 2:
            return cls(gain, rows, worth, 0.0, 0.0, 1.0)
        of_rows, of_cases = values.mean(axis=1), values.mean(axis=0)
        case_variance = float(of_cases.var(ddof=1))  # MS_I / R
        if rows < 2:
            return cls(gain, rows, worth, 0.0, 0.0, case_variance / cases)
        errors = values - of_rows[:, None] - of_cases + gain
        mean_square = float((errors**2).sum() / ((rows - 1) * (cases - 1)))  # MS_E
        shared = max(0.0, case_variance - mean_square / rows) / cases
        return cls(gain, rows, worth, float(of_rows.var(ddof=1)), mean_square / cases, shared)

    @classmethod
    def of_folds(cls, gains: np.ndarray, interaction: float, cases: int, overlap: float) -> "Crossed":
        """gains: (K,), each of a fold with test images of its own. cases: of all folds together."""
        return cls(float(gains.mean()), len(gains), cases, float(gains.var(ddof=1)), interaction, 0.0, overlap)

    @property
    def spread(self) -> float:
        """row_variance; of few rows whose gains are the same by chance, what their own errors make of it."""
        return self.interaction if self.row_variance < ROUNDING * self.interaction else self.row_variance

    @property
    def of_rows(self) -> float:
        """The part of the variance that more rows make smaller."""
        return self.spread * (1 / self.rows + self.overlap)

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(self.of_rows + self.shared))

    @property
    def df(self) -> float:
        """Degrees of freedom of the standard error, at most those of the cases."""
        most = float(max(1, self.cases - 1))
        if self.of_rows == 0:
            return most
        return min(most, (self.of_rows + self.shared) ** 2 / self.of_rows**2 * (self.rows - 1))

    @property
    def between(self) -> float:
        """Variance of the rows' true gains: what is left of row_variance without their errors on these cases."""
        return max(0.0, self.row_variance - self.interaction)

    @property
    def mean_square(self) -> float:
        """Of the rows' gains."""
        return (self.rows - 1) / self.rows * self.row_variance + self.gain**2

    @property
    def share_moved(self) -> float:
        """Of further rows, those that are not to be expected to be idle, by Laplace's rule of succession."""
        return (self.rows - self.idle + 1) / (self.rows + 2)

    @property
    def moved(self) -> "Crossed":
        """The same of the rows that are not idle; interaction and shared are what is to be expected of these."""
        rows = self.rows - self.idle
        more = self.rows / rows
        gain = self.gain * more
        variance = (self.rows * self.mean_square - rows * gain**2) / (rows - 1) if rows > 1 else 0.0
        return replace(
            self, gain=gain, rows=rows, row_variance=max(0.0, variance), interaction=self.interaction * more,
            shared=self.shared * more**2, idle=0,
        )  # fmt: skip

    def half_width(self, alpha: float) -> float:
        """Of the interval that leaves out the true gain in at most about alpha of all cases.

        Where no case differs from another, there may still be a kind that does and is too rare to be among so few.
        """
        if self.standard_error == 0:
            return float(1 - alpha ** (1 / self.cases))
        parts = ((self.of_rows, self.rows), (self.shared, self.cases))
        return float(np.sqrt(sum(_quantile(alpha, count - 1) ** 2 * part for part, count in parts if part > 0)))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Of a share, whose gain is at most 1; of another measure, `half_width` is to be taken."""
        reach = self.half_width(alpha)
        return max(-1.0, self.gain - reach), min(1.0, self.gain + reach)

    @cached_property
    def p_value(self) -> float:
        """The alpha at which the interval ends at 0. Where no case and no row differs, at least that of as many equal
        signs.
        """
        from scipy import optimize

        size = abs(self.gain)
        if np.isclose(size, 0, atol=1e-12):
            return 1.0
        if self.standard_error == 0:
            return max(SMALLEST_P, 2.0 ** (1 - self.cases), (1 - min(1.0, size)) ** self.cases)
        if self.half_width(SMALLEST_P) <= size:
            return SMALLEST_P
        return float(np.exp(optimize.brentq(lambda log: self.half_width(np.exp(log)) - size, np.log(SMALLEST_P), 0.0)))

    def power(self, gain: float, alpha: float) -> float:
        """The chance that a true `gain` would be found to help with as many rows and cases.

        The rows' variance is taken to be what makes the one found as likely too high as too low: with few rows the one
        found itself is too low more often than not, and would promise too much.
        """
        from scipy import stats

        if self.standard_error == 0:
            return float(gain > self.half_width(alpha))
        of_rows, share = 0.0, np.ones(1)
        if self.rows > 1:
            share = _slices(self.rows - 1)
            of_rows = max(self.row_variance / float(np.median(share)), self.interaction) * (
                1 / self.rows + self.overlap
            )
        of_cases = _quantile(alpha, self.cases - 1) ** 2 * self.shared
        reach = np.sqrt(_quantile(alpha, self.rows - 1) ** 2 * of_rows * share + of_cases)
        return float(stats.norm.sf((reach - gain) / np.sqrt(of_rows + self.shared)).mean())

    def would_show(self, alpha: float) -> float:
        """The true gain that would be found to help 4 times out of 5."""
        from scipy import optimize

        if self.standard_error == 0:
            return self.half_width(alpha)
        most = self.standard_error
        while self.power(most, alpha) < POWER:
            most *= 2
        return float(optimize.brentq(lambda gain: self.power(gain, alpha) - POWER, 0.0, most))

    def next_gains(self) -> float | None:
        """The probability that the next row gains: that of a new draw and training. None with fewer than 2 rows.

        Student's predictive distribution of the true gain of one more row, with R - 1 degrees of freedom. Where rows
        are idle, that of the others, times the share of rows that are like these, by Laplace's rule of succession.
        """
        from scipy import stats

        if self.rows - self.idle < 2:
            return None
        if self.idle:
            moved = replace(self, row_variance=self.row_variance - self.raised, raised=0.0).moved
            return self.share_moved * (moved.next_gains() or 0.0)
        spread = np.sqrt(self.between * (1 + self.overlap) + self.of_rows + self.shared)
        if spread == 0:
            return float((np.sign(self.gain) + 1) / 2)
        return float(stats.t.cdf(self.gain / spread, self.rows - 1))

    def with_counts(self, rows: int, cases: int) -> "Crossed":
        """What is to be expected of so many rows and cases with the variances found here."""
        fewer = self.cases / cases
        interaction = self.interaction * fewer
        return replace(
            self, rows=rows, cases=cases, row_variance=self.between + interaction, interaction=interaction,
            shared=self.shared * fewer,
        )  # fmt: skip

    def narrowed_by(self, rows: int, cases: int, alpha: float) -> float:
        """By which share so many rows and cases would make the interval narrower than is to be expected of these."""
        now = self.with_counts(self.rows, self.cases).half_width(alpha)
        return 1 - self.with_counts(rows, cases).half_width(alpha) / now

    def rows_to_decide(self, alpha: float, matters: float) -> int | None:
        """With how many rows the interval would leave out 0, or all gains that matter, if the gain stays what it is."""
        reach = max(abs(self.gain), matters - abs(self.gain))
        if self.rows < 2:
            return None  # how much rows differ is not known
        for rows in range(self.rows + 1, MOST_ROWS + 1):
            if self.with_counts(rows, self.cases).half_width(alpha) <= reach:
                return rows
        return None

    def cases_to_decide(self, alpha: float, matters: float) -> int | None:
        """As `rows_to_decide`, with how many cases, in two digits."""
        reach = max(abs(self.gain), matters - abs(self.gain))

        def enough(cases: int) -> bool:
            return self.with_counts(self.rows, cases).half_width(alpha) <= reach

        if self.cases < 2 or not enough(MOST_CASES):
            return None
        few, many = self.cases, MOST_CASES
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if enough(middle) else (middle, many)
        return two_digits(many)

    def shares(self) -> tuple[float, float, float]:
        """Of the variance: from rows' true gains being different, from rows' own errors on these cases, and from cases
        that are as hard for all rows. More rows make the first two smaller, more cases the last two.
        """
        variance = self.of_rows + self.shared
        if variance == 0:
            return 0.0, 0.0, 1.0
        of_rows = self.between * (1 / self.rows + self.overlap) / variance
        return of_rows, self.of_rows / variance - of_rows, self.shared / variance


def overlap_of(in_common: float) -> float:
    """`Crossed.overlap` of rows with such a share of their labels in common: the more, the less they differ."""
    return in_common / (1 - in_common)


def two_digits(number: float) -> int:
    """Rounded up to two digits: 41,237 -> 42,000."""
    whole = math.ceil(number)
    step = 10 ** max(0, len(str(whole)) - 2)
    return -(-whole // step) * step


def by_case(gains: np.ndarray, influences: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """A measure's gains as means over cases: gains (R,), influences (R, n) of the images on them -> (R, cases).

    influences: by how much each image moves the gain, times n; they add up to 0 in every row. groups: (n,) of the
    images, numbered from 0, which then are the cases; None: each image is one. A group pulls the mean to itself, by its
    share of the images, and seems to differ from it by less, which is made up for (Bell & McCaffrey 2002, CR2).
    """
    if groups is not None:
        sizes = np.bincount(groups)
        count, rest = len(sizes), np.maximum(1 - sizes / len(groups), 1e-9)
        sums = np.stack([np.bincount(groups, weights=row, minlength=count) for row in influences])
        influences = sums * (count / len(groups)) * np.sqrt((1 - 1 / count) / rest)
        influences -= influences.mean(axis=1, keepdims=True)
    return gains[:, None] + influences


def alike_groups(groups: np.ndarray) -> float:
    """How many groups of equal size tell as much as these: (N,) of the images -> at most their number (Kish 1965)."""
    return float(len(groups) ** 2 / (np.bincount(groups).astype(float) ** 2).sum())
