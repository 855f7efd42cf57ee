"""Words for gains, and sentences that say for whom they hold."""

import pytest

from augury.evidence.crossed import Crossed
from augury.evidence.verdicts import BUDGET, SET, sentence, verdict
from augury.pipeline.conclusions import Compare

COMPARE = Compare(reference="classic", measure="accuracy", matters=0.5, confidence=0.95, resamples=100)


@pytest.mark.parametrize(
    ("gain", "p_value", "interval", "word"),
    [
        (0.01, 0.05, (0.001, 0.019), "helps"),
        (-0.01, 0.05, (-0.019, -0.001), "hurts"),
        (0.01, 0.06, (-0.001, 0.021), "can't tell"),
        (0.001, 0.5, (-0.004, 0.0049), "no difference that matters"),
        (0.001, 0.5, (-0.0051, 0.004), "can't tell"),
        (0.002, 0.01, (0.001, 0.003), "helps"),  # for sure, if little
        (0.0, 1.0, (0.0, 0.0), "no difference that matters"),
    ],
)
def test_a_word(gain: float, p_value: float, interval: tuple[float, float], word: str) -> None:
    assert verdict(gain, p_value, interval, alpha=0.05, matters=0.005) == word


def test_a_sentence_says_for_whom_it_holds() -> None:
    analysis = Crossed(0.0042, 1, 10_000, 0.0, 0.0, 0.0016**2)
    assert sentence(analysis, COMPARE, "helps", None, SET, level=0.05, synthetic=True, outside=False, caution=None) == (
        "helps: +0.42 points (+0.11 to +0.73) on new images like the test ones, for these labels and this set of "
        "synthetic images, less than the 0.5 that matter"
    )
    decides = {"replicates": 6, "seeds": None, "test_images": 25_000}
    text = sentence(
        analysis,
        COMPARE,
        "can't tell",
        decides,
        BUDGET,
        level=0.05,
        synthetic=True,
        outside=False,
        caution="there are two replicates",
    )
    assert text == (
        "can't tell: +0.42 points (+0.11 to +0.73) on new images like the test ones, for another draw of as many "
        "labels and another training of the generators; about 6 replicates or 25,000 test images would decide, "
        "were the gain what it seems (with caution: there are two replicates)"
    )
    text = sentence(analysis, COMPARE, "helps", None, SET, level=0.002, synthetic=True, outside=False, caution=None)
    assert "(−0.07 to +0.91)" in text
    assert "of synthetic images, by Holm's correction, surer than this interval for all arms at once" in text
    text = sentence(analysis, COMPARE, "helps", None, SET, level=0.05, synthetic=True, outside=True, caution=None)
    assert "for these labels and this set of synthetic images, with outside data, less than" in text
    nothing = dict.fromkeys(decides)
    text = sentence(
        analysis, COMPARE, "can't tell", nothing, SET, level=0.05, synthetic=False, outside=False, caution=None
    )
    assert text.endswith("for these labels; only more seeds and more test images together would decide")
    text = sentence(
        analysis,
        COMPARE,
        None,
        None,
        BUDGET,
        level=0.05,
        synthetic=False,
        outside=False,
        caution="there are two replicates",
    )
    assert text == (
        "+0.42 points (+0.11 to +0.73) on new images like the test ones, for another draw of as many labels"
    )
