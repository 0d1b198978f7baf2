"""The table of models: plain data, read by the factories of training and by the loading of bundles."""

from typing import Literal, NamedTuple

Kind = Literal["baseline", "reference", "trained"]


class ModelEntry(NamedTuple):
    """What a model is, and where its code lies; nothing is imported before it is used.

    ``about``: one phrase, for ``nextbasket evaluate --help`` ·
    ``factory``: ``module:callable``, called with the name and options, returns a ``training.models.base.Model`` ·
    ``kind``: a ``baseline`` is compared with in every report, a ``reference`` is another formula without training ·
    ``loader``: ``module:function``, called with the folder and version of a bundle, returns its scorer; None for a
    model that cannot be served · ``requires``: a library that the extra of the same name installs.
    """

    about: str
    factory: str
    kind: Kind
    loader: str | None
    requires: str | None = None


_BASELINE = "training.models.baselines.model:Baseline"
_BASELINE_LOADER = "training.serving.baselines.scorer:load"
_ITEM_LSTM_LOADER = "training.serving.item_lstm.scorer:load"
_TWO_TOWER = "training.models.two_tower.model:Hybrid"
_TWO_TOWER_LOADER = "training.serving.two_tower.scorer:load"

MODEL_TABLE: dict[str, ModelEntry] = {
    "g_topfreq": ModelEntry("what is in most baskets of all customers", _BASELINE, "baseline", _BASELINE_LOADER),
    "recent_g_topfreq": ModelEntry("what sells most now", _BASELINE, "baseline", _BASELINE_LOADER),
    "ease": ModelEntry("items linked to those the customer bought", _BASELINE, "baseline", _BASELINE_LOADER),
    "p_topfreq": ModelEntry("the customer's most frequent items", _BASELINE, "baseline", _BASELINE_LOADER),
    "up_cf": ModelEntry(
        "recent baskets of the customer and of similar customers",
        "training.models.baselines.model:UpCfBaseline",
        "baseline",
        _BASELINE_LOADER,
    ),
    "tifu_knn": ModelEntry(
        "repeat purchases with decay, and those of similar customers",
        "training.models.baselines.model:TifuKnnBaseline",
        "baseline",
        _BASELINE_LOADER,
    ),
    "gp_topfreq": ModelEntry(
        "the customer's most frequent items, then what sells most", _BASELINE, "baseline", _BASELINE_LOADER
    ),
    "count_demand": ModelEntry(
        "number of the customer's baskets × demand now", _BASELINE, "baseline", _BASELINE_LOADER
    ),
    "ease_count_demand": ModelEntry(
        "that count and ease's links, × demand now", _BASELINE, "baseline", _BASELINE_LOADER
    ),
    "random": ModelEntry("random numbers, for comparison", _BASELINE, "reference", _BASELINE_LOADER),
    "popularity": ModelEntry("another name of g_topfreq", _BASELINE, "reference", _BASELINE_LOADER),
    "label_lstm": ModelEntry(
        "an LSTM over stock codes, for comparison",
        "training.models.item_lstm.label_lstm:LabelLstm",
        "trained",
        _ITEM_LSTM_LOADER,
    ),
    "frequent_lstm": ModelEntry(
        "an LSTM over the most frequent items, for comparison",
        "training.models.item_lstm.frequent_lstm:FrequentLstm",
        "trained",
        _ITEM_LSTM_LOADER,
    ),
    "text_lstm": ModelEntry(
        "an LSTM over vectors of descriptions, for comparison",
        "training.models.item_lstm.text_lstm:TextLstm",
        "trained",
        _ITEM_LSTM_LOADER,
    ),
    "basket_lstm": ModelEntry(
        "the default: an LSTM that ranks the whole catalogue",
        "training.models.basket_lstm.model:BasketLstm",
        "trained",
        "training.serving.basket_lstm.scorer:load",
    ),
    "hybrid": ModelEntry(
        "two towers over purchases and features, for new items", _TWO_TOWER, "trained", _TWO_TOWER_LOADER
    ),
    "content": ModelEntry("two towers over features alone", _TWO_TOWER, "trained", _TWO_TOWER_LOADER),
    "collaborative": ModelEntry("two towers over purchases alone", _TWO_TOWER, "trained", _TWO_TOWER_LOADER),
    "lightgbm": ModelEntry(
        "gradient-boosted trees, for comparison; cannot be served",
        "training.models.lightgbm.ranker:LightGbm",
        "trained",
        None,
        requires="lightgbm",
    ),
}
"""Models by name, in the order of listings; baselines come first, weakest first."""
