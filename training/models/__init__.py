"""Models by name. A model's module is imported when it is made: listing the names must not load TensorFlow."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from training.errors import UnknownModel
from training.model_table import MODEL_TABLE
from training.models.base import Fitted, Model

__all__ = [
    "BASELINES",
    "MODELS",
    "Fitted",
    "Model",
    "check_name",
    "installed",
    "make_model",
    "options_of",
]


def _make(target: str, name: str, **options: Any) -> Model:
    module, factory = target.split(":")
    with _quiet_start():
        loaded = importlib.import_module(module)
        if tensorflow := sys.modules.get("tensorflow"):
            _set_threads(tensorflow)
            tensorflow.config.list_physical_devices()  # it looks for GPUs once, and complains where there is none
    model: Model = getattr(loaded, factory)(name, **options)
    return model


def _set_threads(tensorflow: Any) -> None:
    """One thread, unless TF_NUM_INTRAOP_THREADS or TF_NUM_INTEROP_THREADS are set: the same training on any machine.

    More threads within an operation sum in another order, and a training amplifies the last digit. Networks as small as
    these are no faster with two (docs/models/basket_lstm.md), and several operations at once only wait for each other.
    """
    threading = tensorflow.config.threading
    with suppress(RuntimeError):  # it is in use already, with the threads that it has
        if "TF_NUM_INTRAOP_THREADS" not in os.environ:
            threading.set_intra_op_parallelism_threads(1)
        if "TF_NUM_INTEROP_THREADS" not in os.environ:
            threading.set_inter_op_parallelism_threads(1)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep TensorFlow's messages about processors and GPUs off the terminal while it loads.

    TensorFlow 2.21 writes them to the file descriptor of standard error before it reads TF_CPP_MIN_LOG_LEVEL. A failed
    import still raises. Nothing is hidden where that variable is set to 0.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


BASELINES: tuple[str, ...] = tuple(name for name, entry in MODEL_TABLE.items() if entry.kind == "baseline")
"""The simple models every other one is measured against, weakest first."""

MODELS: dict[str, Callable[..., Model]] = {
    name: partial(_make, entry.factory, name) for name, entry in MODEL_TABLE.items()
}
"""Model by name; each value makes one, with the options of that model as keywords."""


def installed() -> list[str]:
    """Names of the models whose libraries are installed."""
    return [name for name, entry in MODEL_TABLE.items() if entry.requires is None or find_spec(entry.requires)]


def check_name(name: str) -> None:
    """Check that there is a model of a name.

    Raises:
        UnknownModel: There is none; the message lists those there are.
    """
    if name not in MODELS:
        near = get_close_matches(name, MODELS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UnknownModel(f"There is no model {name!r}.{hint} Models: {', '.join(MODELS)}.")


def make_model(name: str, **options: Any) -> Model:
    """Make a model by its name.

    Raises:
        UnknownModel: No model is called that.
    """
    check_name(name)
    return MODELS[name](**options)


def options_of(model: Model) -> list[str]:
    """Names of the options that ``make_model`` takes for a model."""
    return [name for name in inspect.signature(type(model)).parameters if name != "name"]
