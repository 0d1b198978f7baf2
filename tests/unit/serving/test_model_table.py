"""The table of models: every bundle that can be published can be loaded, and listings keep their order."""

import importlib

import pytest

from training.model_table import MODEL_TABLE
from training.models import BASELINES, MODELS

SERVED = {name: entry.loader for name, entry in MODEL_TABLE.items() if entry.loader is not None}


@pytest.mark.parametrize("name", SERVED)
def test_the_loader_exists(name: str) -> None:
    module, function = SERVED[name].split(":")

    assert callable(getattr(importlib.import_module(module), function))


def test_only_lightgbm_cannot_be_served() -> None:
    assert MODEL_TABLE.keys() - SERVED.keys() == {"lightgbm"}


def test_every_model_of_the_table_can_be_made_and_baselines_are_listed_weakest_first() -> None:
    assert list(MODELS) == list(MODEL_TABLE)
    assert tuple(MODEL_TABLE)[: len(BASELINES)] == BASELINES
    assert (BASELINES[0], BASELINES[-1]) == ("g_topfreq", "ease_count_demand")
