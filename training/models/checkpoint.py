"""The checkpoint of a training: its variables, its random draws and its best weights, after every epoch."""

import hashlib
import json
import logging
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """How far a training is.

    ``epochs`` and ``steps`` done · the ``best_loss`` on the validation set and the ``best_weights`` that gave it,
    infinite and empty without one · ``curves``: the losses after every epoch, by name.
    """

    epochs: int
    steps: int
    best_loss: float
    best_weights: list[NDArray[np.float32]] = field(repr=False)
    curves: dict[str, list[float]]


def checkpoint_name(content: Iterable[object]) -> str:
    """The file name of a checkpoint: the hash of all that the outcome of the training depends on."""
    return hashlib.sha256("\n".join(map(str, content)).encode()).hexdigest()[:32] + ".npz"


class Checkpoint:
    """One file, rewritten after every epoch and renamed into place, so that a failed write leaves the one before."""

    def __init__(self, path: Path) -> None:
        """Store in this file; see ``checkpoint_name``."""
        self._path = path
        self._partial = path.with_suffix(".part")

    def save(self, state: TrainingState, variables: Sequence[Any], generator: np.random.Generator) -> None:
        """Store what ``load`` resumes from; where that fails, log a warning."""
        arrays = {f"variable_{number}": np.asarray(each) for number, each in enumerate(variables)}
        arrays |= {f"best_{number}": each for number, each in enumerate(state.best_weights)}
        header = asdict(state) | {"best_weights": len(state.best_weights), "generator": generator.bit_generator.state}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._partial.open("wb") as file:
                np.savez(file, state=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
            self._partial.replace(self._path)
        except OSError as error:  # a full disk is no reason to end the training
            logger.warning("no checkpoint can be written, so an interrupted training would start over: %s", error)

    def load(self, variables: Sequence[Any], generator: np.random.Generator) -> TrainingState | None:
        """Restore variables and generator; None, and nothing changed, where there is no usable checkpoint."""
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                header = json.loads(arrays["state"].tobytes())
                values = [arrays[f"variable_{number}"] for number in range(len(variables))]
                weights = [arrays[f"best_{number}"] for number in range(header.pop("best_weights"))]
        except FileNotFoundError:
            return None
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            logger.warning("the checkpoint of a training cannot be read and is ignored: %s", error)
            return None
        if any(value.shape != tuple(variable.shape) for value, variable in zip(values, variables, strict=True)):
            return None
        generator.bit_generator.state = header.pop("generator")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return TrainingState(**header, best_weights=weights)

    def delete(self) -> None:
        """Remove the file: the training is done."""
        for path in (self._path, self._partial):
            with suppress(OSError):
                path.unlink()
