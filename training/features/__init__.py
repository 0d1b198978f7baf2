"""THE feature code: what a model sees of customers and items, for training and serving alike. Numpy only."""

from training.features.item_table import ItemTable
from training.features.knowledge import Knowledge
from training.features.retrieval import Retrieval
from training.features.view import View, build_view

__all__ = ["ItemTable", "Knowledge", "Retrieval", "View", "build_view"]
