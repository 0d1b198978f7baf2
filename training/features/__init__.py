"""Features of customers and items: the only place that computes them, in training and serving alike. NumPy only."""

from training.features.basket_lstm.global_statistics import GlobalStatistics
from training.features.basket_lstm.retrieval import Retrieval
from training.features.basket_lstm.view import View, build_view
from training.features.item_table import ItemTable

__all__ = ["GlobalStatistics", "ItemTable", "Retrieval", "View", "build_view"]
