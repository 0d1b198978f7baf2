"""Inputs of the two towers: by hand, and for missing, unknown, duplicate or non-finite values."""

import math
from typing import Any

import numpy as np
import pytest

from state.domain.history import CustomerHistory
from state.events.dates import DAY
from state.events.invoice import THOUSAND, Line
from tests.unit.features.shop import history
from training.features.item_table import ItemTable
from training.features.text import TermVectors
from training.features.two_tower.customer import BASKET_DECAY, RFMV, age, customer_features
from training.features.two_tower.inputs import NUMBERS, TIME_VARYING_INPUTS, AttributeVocabulary, Encoding, Scales
from training.serving.two_tower.network import NumpyTowers

NOW = 100 * DAY
COLOURS = AttributeVocabulary(["colour"], [["red", "blue"]])
PEOPLE = AttributeVocabulary(["country", "gender"], [["France"], ["F", "M"]])


def scales(**changed: Any) -> Scales:
    wide = len(TIME_VARYING_INPUTS)
    default = {
        "rfmv": np.asarray([np.zeros(4), np.ones(4)], np.float32),
        "time_varying": np.asarray([np.zeros(wide), np.ones(wide)], np.float32),
        "scores": np.tile(np.asarray([0.5, 1.5, 2.5, 3.5], np.float32), (4, 1)),
        "clusters": np.asarray([[0.0] * 4, [3.0] * 4], np.float32),
        "bands": np.asarray([0.0, 1.0], np.float32),
        "age": np.asarray([40.0, 10.0], np.float32),
    }
    return Scales(**{**default, **changed})


def encoding(codes: tuple[str, ...] = ("a", "b")) -> Encoding:
    return Encoding(codes, PEOPLE, COLOURS, scales(), TermVectors.empty(3))


def table() -> ItemTable:
    items = ItemTable()
    for code, colour, price in (("a", "red", 0.5), ("b", "mauve", 2.0), ("new", "blue", 9.0)):
        items.sell([Line(code, THOUSAND, price, attributes={"colour": colour})], 50 * DAY)
    return items


def test_a_customer_worked_by_hand() -> None:
    features = customer_features(
        history((80 * DAY, {"a": 2}), (90 * DAY, {"a": 1, "b": 3, "gone": 1}), price=2.0), table(), NOW
    )
    assert features.rows.tolist() == [0, 1]
    assert features.weights.tolist() == pytest.approx(
        np.asarray([1.0 + BASKET_DECAY, 1.0]) / math.hypot(1.0 + BASKET_DECAY, 1.0)
    )
    assert features.known[:, 0].tolist() == [1.0, 1.0]
    assert features.known[:, 2].tolist() == pytest.approx([math.log1p(10)] * 2)
    expected = dict(zip(RFMV, np.log1p([10, 2, 14, 3]), strict=True))
    assert features.rfmv.tolist() == pytest.approx(list(expected.values()))


def test_an_item_returned_entirely_does_not_count_and_a_partial_return_changes_nothing() -> None:
    bought, later = (80 * DAY, {"a": 2, "b": 3}), (85 * DAY, {"b": 1})
    features = customer_features(history(bought, later, (90 * DAY, {"a": -2, "b": -1}), price=2.0), table(), NOW)
    assert features.rows.tolist() == [1]
    assert features.rfmv.tolist() == pytest.approx(np.log1p([15, 2, 8, 1]).tolist())
    before = customer_features(history(bought, later, (NOW + DAY, {"a": -2, "b": -1}), price=2.0), table(), NOW)
    assert before.rows.tolist() == [1, 0]
    nothing = customer_features(history(bought, (90 * DAY, {"a": -2, "b": -3})), table(), NOW)
    assert len(nothing.rows) == 0
    assert nothing.rfmv.tolist() == [0.0] * 4


def test_a_customer_without_purchases_is_all_zeros() -> None:
    inputs = encoding().customers([customer_features(CustomerHistory("nobody"), table(), NOW)])
    assert len(inputs.row) == len(inputs.customer_index) == 0
    assert inputs.numbers[0].tolist() == [0.0] * len(NUMBERS)
    assert inputs.tags[0, :-1].tolist() == [0, 0]


@pytest.mark.parametrize(
    "birth_date", [None, "", "soon", "now", "today", "1980", "1980-13-40", "3000-01-01", "1700-01-01"]
)
def test_an_invalid_birth_date_gives_no_age(birth_date: str | None) -> None:
    now = 1_323_388_800  # 2011-12-09
    assert age("1971-12-10", now) == pytest.approx(40.0, abs=0.01)
    assert math.isnan(age(birth_date, now))


def test_known_values_have_a_tag_and_unknown_ones_do_not() -> None:
    attributes = {"gender": "M", "country": "Atlantis", "planet": "Mars", "birth_date": "1970-01-01"}
    stated = CustomerHistory("ann", dated_attributes={key: (1, value) for key, value in attributes.items()})
    inputs = encoding().customers([customer_features(stated, table(), 50 * 365 * DAY)])
    assert inputs.tags[0, :-1].tolist() == [0, 3]
    assert inputs.numbers[0, NUMBERS.index("age_known")] == 1.0
    assert inputs.numbers[0, NUMBERS.index("age")] == pytest.approx(1.0, abs=0.01)


def test_items_by_hand_an_unknown_one_included() -> None:
    inputs = encoding().items(table(), NOW)
    assert inputs.item_index.tolist() == [0, 1, 2]  # the third is no stock code of the vocabulary
    assert inputs.tags.tolist() == [[1, 3], [0, 4], [2, 5]]
    assert not inputs.text.any()
    assert np.isfinite(inputs.time_varying).all()


def test_changed_attributes_change_the_tags() -> None:
    items, features = table(), encoding()
    assert features.items(items, NOW).tags[1, 0] == 0
    items.sell([Line("b", THOUSAND, 2.0, attributes={"colour": "red"})], 60 * DAY)
    assert features.items(items, NOW).tags[1, 0] == 1
    assert features.items(table(), NOW).tags[1, 0] == 0


def test_a_duplicate_stock_code_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        encoding(("a", "a"))


@pytest.mark.parametrize("name", Scales._fields)
def test_scales_that_are_not_finite_or_of_another_shape_are_refused(name: str) -> None:
    right = getattr(scales(), name)
    for wrong in (np.full_like(right, np.nan), right.astype(np.float64), right[None]):
        with pytest.raises(ValueError, match=name.removesuffix("s")):
            Encoding(["a"], PEOPLE, COLOURS, scales(**{name: wrong}), TermVectors.empty(3))


def test_attributes_without_a_list_of_values_are_refused() -> None:
    with pytest.raises(ValueError, match="2 attributes do not go with 1 lists"):
        Encoding(["a"], AttributeVocabulary(["city", "gender"], [["F"]]), COLOURS, scales(), TermVectors.empty(3))


def test_a_layer_without_axes_is_refused() -> None:
    arrays = {"known": (3,), "read_tags": (2, 4), "item_tags": (2, 4), "customer_tags": (2, 4), "feature_bias": (5,)}
    arrays |= {f"{tower}_{part}_0": () for tower in ("item", "customer") for part in ("kernel", "bias")}
    with pytest.raises(ValueError, match="do not fit together"):
        NumpyTowers({name: np.zeros(shape, np.float32) for name, shape in arrays.items()})


def test_towers_without_anything_are_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        NumpyTowers({"known": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="finite"):
        NumpyTowers({"offered": np.full((2, 2), np.nan, np.float32)})
