"""``random`` and ``popularity``: what every other model is measured against."""

from tests.unit.features.shop import shop_log
from training.data.walk import StateReplay
from training.serving.baselines.scorer import BaselineScorer

LOG = shop_log(80)


def ranking(name: str, replay: StateReplay, customer: str) -> list[str]:
    history = replay.histories[customer]
    answer = BaselineScorer(name, "v").predict([history], replay.items, replay.now or 0, 99)[0]
    return [each.stock_code for each in answer.candidates]


def test_chance_is_the_same_whenever_asked_and_another_for_another_customer() -> None:
    replay = StateReplay(window=100)
    for invoice in LOG:
        replay.apply(invoice)
    once = ranking("random", replay, "c1")
    assert ranking("random", replay, "c1") == once
    assert sorted(once) == sorted(replay.items.codes)
    assert ranking("random", replay, "c2") != once
    assert ranking("popularity", replay, "c1") == ranking("g_topfreq", replay, "c2")
