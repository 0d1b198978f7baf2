"""The names in a bundle of ``basket_lstm`` are part of its format: they stay whatever the code calls things."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.unit.serving import test_basket_scorer
from training.serving.basket_lstm import bundle_names
from training.serving.basket_lstm.scorer import INPUTS, SETTINGS

STORED_INPUTS = {
    "candidate": [
        "known",
        "log_count",
        "count_per_basket",
        "count_per_basket_since_first",
        "log_baskets_since_last",
        "log_days_since_last",
        "faded_by_baskets",
        "faded_by_days",
        "days_since_last_over_gap",
        "bought_more_than_once",
        "mean_quantity_over_norm",
        "last_quantity_over_norm",
        "price_now_over_last",
        "count_over_most",
        "faded_over_most",
        "taken_back",
        "rebuy_ever",
        "rebuy_lately",
        "buyers_size_over_own",
        "buyers_quantity_over_own",
        "buyers_baskets_over_own",
        "buyers_size_apart",
        "buyers_quantity_apart",
        "buyers_baskets_apart",
        "baskets_speak",
        "recent_speak",
        "customers_speak",
        "baskets_speak_of_last",
        "recent_speak_of_last",
        "text_like_history",
        "text_like_last",
        "text_like_nearest",
        "log_count_demand",
        "log_ease_count_demand",
        "demand_1",
        "demand_3",
        "demand_7",
        "demand_14",
        "demand_30",
        "share_3",
        "share_7",
        "share_30",
        "demand_ever",
        "trend_3_over_14",
        "trend_7_over_30",
        "log_age_days",
        "log_days_since_sold",
        "log_price",
        "log_price_over_norm",
    ],
    "person": [
        "log_baskets",
        "log_mean_size",
        "log_last_size",
        "log_mean_size_of_three",
        "log_mean_gap",
        "log_days_since_last",
        "days_since_last_over_gap",
        "same_day",
        "log_days_since_first",
        "log_items",
        "repeat_share",
        "repeat_share_of_last",
        "log_quantity",
        "log_price",
        "log_taken_back",
    ],
    "step": [
        "in_basket",
        "basket_speaks",
        "log_quantity_over_norm",
        "log_price_now_over_then",
        "text_like_basket",
        "demand_then",
    ],
    "basket": ["log_days_ago", "log_size", "log_gap_before", "log_units", "repeat_share"],
}
STORED_RETRIEVAL = [
    "baskets",
    "recent",
    "customers",
    "baskets_of_last",
    "recent_of_last",
    "unspoken",
    "text_like_history",
    "demand_1",
    "demand_3",
    "demand_7",
    "demand_14",
    "demand_30",
    "share_3",
    "share_7",
    "share_30",
    "demand_ever",
    "trend_3_over_14",
    "trend_7_over_30",
    "log_age_days",
    "log_days_since_sold",
    "log_price",
]
STORED_ARRAYS = {
    "network.npz": [
        "baskets_deviation",
        "baskets_mean",
        "candidate_deviation",
        "candidate_mean",
        "hidden_bias",
        "hidden_kernel",
        "hidden_person_kernel",
        "linear_kernel",
        "person_deviation",
        "person_mean",
        "reader_bias",
        "reader_kernel",
        "reader_recurrent",
        "score_kernel",
        "second_bias",
        "second_kernel",
        "steps_deviation",
        "steps_mean",
    ],
    "item_to_item.npz": [
        "baskets_neighbour",
        "baskets_weight",
        "customers_neighbour",
        "customers_weight",
        "habits",
        "recent_neighbour",
        "recent_weight",
        "weeks_demand",
        "weeks_first",
    ],
    "correction.npz": ["item", "linear"],
    "return_network.npz": [
        "deviation",
        "hazard_bias",
        "hazard_kernel",
        "hidden_bias",
        "hidden_kernel",
        "mean",
        "since",
    ],
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    test_basket_scorer.scorer().save(folder)
    return folder


def test_the_stored_names_of_inputs(bundle: Path) -> None:
    settings = msgspec.json.decode((bundle / SETTINGS).read_bytes())

    assert list(settings) == ["calibration", "retrieval", "own", "new", "inputs"]
    assert settings["inputs"] == STORED_INPUTS
    assert list(settings["retrieval"]) == STORED_RETRIEVAL


@pytest.mark.parametrize("file", STORED_ARRAYS)
def test_the_stored_names_of_arrays(file: str, bundle: Path) -> None:
    with np.load(bundle / file) as arrays:
        assert sorted(arrays.files) == STORED_ARRAYS[file]


def test_every_name_is_translated_back() -> None:
    for stored, loaded in (
        (bundle_names.stored_network, bundle_names.loaded_network),
        (bundle_names.stored_statistics, bundle_names.loaded_statistics),
        (bundle_names.stored_correction, bundle_names.loaded_correction),
    ):
        names = {name: name for name in ("customer_mean", "lstm_bias", "item_statistics", "item_biases", "other")}
        assert loaded(stored(names)) == names


def test_no_two_inputs_have_the_same_name() -> None:
    for names in (*INPUTS.values(), *bundle_names.stored_inputs(INPUTS).values()):
        assert len(set(names)) == len(names)
