"""Several arms in one process: all of them, or some at weights of their own."""

import pytest

from augury.pipeline.errors import UserError
from augury.pipeline.params import PARAMS_FILE, Params, load
from augury.pipeline.replicates import Replicate
from studies import classifiers
from tests import CHECKOUT


def test_all_arms_are_tried_or_those_named_at_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, list[float], int]] = []

    def classify(params: Params, arm: str, replicate: Replicate) -> int:
        tried.append((arm, params.classify.synthetic_weight, replicate.number))
        return 10

    monkeypatch.setattr("stages.classify.main", classify)
    params = load(CHECKOUT / PARAMS_FILE).model_copy(update={"replicates": [0, 1]})
    usual = params.classify.synthetic_weight
    assert classifiers.main(params, "1") == 10 * len(params.classify.arms)
    assert tried == [(arm, usual, 1) for arm in params.classify.arms]
    tried.clear()
    assert classifiers.main(params, "0", "a+b=0.1", "c=2.0") == 20
    assert tried == [("a+b", [0.1], 0), ("c", [2.0], 0)]
    with pytest.raises(UserError, match="replicates: unknown 'x'; choose from 0, 1"):
        classifiers.main(params, "x")
    with pytest.raises(UserError, match="c=much: a weight is a number"):
        classifiers.main(params, "0", "c=much")
