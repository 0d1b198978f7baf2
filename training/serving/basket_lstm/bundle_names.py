"""Names of inputs and arrays as they are written in the bundles of ``basket_lstm``.

The code and the bundle format name some things differently. Bundles keep their names, so that every version of the code
reads every bundle; this module is the only place that translates.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

_GROUPS = {"customer": "person"}
_INPUTS = {
    # candidate inputs
    "bought_before": "known",
    "decayed_count": "faded_by_baskets",
    "time_decayed_count": "faded_by_days",
    "mean_quantity_over_customer_mean": "mean_quantity_over_norm",
    "last_quantity_over_customer_mean": "last_quantity_over_norm",
    "count_over_max": "count_over_most",
    "decayed_count_over_max": "faded_over_most",
    "returned": "taken_back",
    "rebuy_rate": "rebuy_ever",
    "recent_rebuy_rate": "rebuy_lately",
    "buyers_basket_size_over_customer": "buyers_size_over_own",
    "buyers_quantity_over_customer": "buyers_quantity_over_own",
    "buyers_n_baskets_over_customer": "buyers_baskets_over_own",
    "buyers_basket_size_distance": "buyers_size_apart",
    "buyers_quantity_distance": "buyers_quantity_apart",
    "buyers_n_baskets_distance": "buyers_baskets_apart",
    "i2i_score_baskets": "baskets_speak",
    "i2i_score_recent": "recent_speak",
    "i2i_score_customers": "customers_speak",
    "last_basket_i2i_score_baskets": "baskets_speak_of_last",
    "last_basket_i2i_score_recent": "recent_speak_of_last",
    "text_similarity_history": "text_like_history",
    "text_similarity_last_basket": "text_like_last",
    "text_similarity_nearest": "text_like_nearest",
    "log_price_over_customer_mean": "log_price_over_norm",
    # customer inputs
    "log_returned_items": "log_taken_back",
    # step inputs
    "i2i_score_basket": "basket_speaks",
    "log_quantity_over_customer_mean": "log_quantity_over_norm",
    "log_price_now_over_basket": "log_price_now_over_then",
    "text_similarity_basket": "text_like_basket",
    "demand_in_week_of_basket": "demand_then",
}
_RETRIEVAL_INPUTS = {
    "i2i_score_baskets": "baskets",
    "i2i_score_recent": "recent",
    "i2i_score_customers": "customers",
    "last_basket_i2i_score_baskets": "baskets_of_last",
    "last_basket_i2i_score_recent": "recent_of_last",
    "no_i2i_score": "unspoken",
    "text_similarity_history": "text_like_history",
}
_NETWORK_ARRAYS = {
    "customer_mean": "person_mean",
    "customer_deviation": "person_deviation",
    "step_mean": "steps_mean",
    "step_deviation": "steps_deviation",
    "basket_mean": "baskets_mean",
    "basket_deviation": "baskets_deviation",
    "lstm_kernel": "reader_kernel",
    "lstm_recurrent": "reader_recurrent",
    "lstm_bias": "reader_bias",
    "hidden_customer_kernel": "hidden_person_kernel",
}
_STATISTICS_ARRAYS = {"item_statistics": "habits"}
_CORRECTION_ARRAYS = {"item_biases": "item", "input_weights": "linear"}


def stored_inputs(inputs: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The names of the inputs by group, as a bundle lists them."""
    return {_GROUPS.get(group, group): [_INPUTS.get(name, name) for name in names] for group, names in inputs.items()}


def stored_retrieval_inputs(inputs: Iterable[str]) -> list[str]:
    """The names of the retrieval inputs, as a bundle lists them."""
    return [_RETRIEVAL_INPUTS.get(name, name) for name in inputs]


def stored_network(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """The network's arrays under the names of the bundle."""
    return _renamed(arrays, _NETWORK_ARRAYS)


def loaded_network(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """The network's arrays under the names of the code."""
    return _renamed(arrays, _reversed(_NETWORK_ARRAYS))


def stored_statistics(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """The arrays of the global statistics under the names of the bundle."""
    return _renamed(arrays, _STATISTICS_ARRAYS)


def loaded_statistics(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """The arrays of the global statistics under the names of the code."""
    return _renamed(arrays, _reversed(_STATISTICS_ARRAYS))


def stored_correction(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """The arrays of the online correction under the names of the bundle."""
    return _renamed(arrays, _CORRECTION_ARRAYS)


def loaded_correction(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """The arrays of the online correction under the names of the code."""
    return _renamed(arrays, _reversed(_CORRECTION_ARRAYS))


def _renamed(arrays: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    return {names.get(name, name): array for name, array in arrays.items()}


def _reversed(names: Mapping[str, str]) -> dict[str, str]:
    return {stored: name for name, stored in names.items()}
