"""The table of models: plain data, read by the factories of training and by the loading of bundles."""

from typing import Literal, NamedTuple

Kind = Literal["baseline", "reference", "trained"]


class ModelEntry(NamedTuple):
    """Where the code of a model lies; nothing is imported before it is used.

    ``factory``: ``module:callable``, called with the name and options, returns a ``training.models.base.Model`` ·
    ``kind``: a ``baseline`` is compared with in every report, a ``reference`` is another formula without training ·
    ``loader``: ``module:function``, called with the folder and version of a bundle, returns its scorer; None for a
    model that cannot be served · ``requires``: a library that the extra of the same name installs.
    """

    factory: str
    kind: Kind
    loader: str | None
    requires: str | None = None


_BASELINE = "training.models.baselines.model:Baseline"
_BASELINE_LOADER = "training.serving.baselines.scorer:load"
_ITEM_LSTM_LOADER = "training.serving.item_lstm.scorer:load"
_TWO_TOWER = ModelEntry("training.models.two_tower.model:Hybrid", "trained", "training.serving.two_tower.scorer:load")

MODEL_TABLE: dict[str, ModelEntry] = {
    "g_topfreq": ModelEntry(_BASELINE, "baseline", _BASELINE_LOADER),
    "recent_g_topfreq": ModelEntry(_BASELINE, "baseline", _BASELINE_LOADER),
    "ease": ModelEntry(_BASELINE, "baseline", _BASELINE_LOADER),
    "p_topfreq": ModelEntry(_BASELINE, "baseline", _BASELINE_LOADER),
    "up_cf": ModelEntry("training.models.baselines.model:UpCfBaseline", "baseline", _BASELINE_LOADER),
    "tifu_knn": ModelEntry("training.models.baselines.model:TifuKnnBaseline", "baseline", _BASELINE_LOADER),
    "gp_topfreq": ModelEntry(_BASELINE, "baseline", _BASELINE_LOADER),
    "count_demand": ModelEntry(_BASELINE, "baseline", _BASELINE_LOADER),
    "ease_count_demand": ModelEntry(_BASELINE, "baseline", _BASELINE_LOADER),
    "random": ModelEntry(_BASELINE, "reference", _BASELINE_LOADER),
    "popularity": ModelEntry(_BASELINE, "reference", _BASELINE_LOADER),
    "label_lstm": ModelEntry("training.models.item_lstm.label_lstm:LabelLstm", "trained", _ITEM_LSTM_LOADER),
    "frequent_lstm": ModelEntry("training.models.item_lstm.frequent_lstm:FrequentLstm", "trained", _ITEM_LSTM_LOADER),
    "text_lstm": ModelEntry("training.models.item_lstm.text_lstm:TextLstm", "trained", _ITEM_LSTM_LOADER),
    "basket_lstm": ModelEntry(
        "training.models.basket_lstm.model:BasketLstm", "trained", "training.serving.basket_lstm.scorer:load"
    ),
    "hybrid": _TWO_TOWER,
    "content": _TWO_TOWER,
    "collaborative": _TWO_TOWER,
    "lightgbm": ModelEntry("training.models.lightgbm.ranker:LightGbm", "trained", None, requires="lightgbm"),
}
"""Models by name, in the order of listings; baselines come first, weakest first."""
