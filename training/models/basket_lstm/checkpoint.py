"""Keeping a training that may be broken off: its variables, its draws and its best weights, after every epoch."""

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
class Run:
    """How far a training is: epochs and steps done, the best loss and its weights, and the losses of every epoch."""

    epochs: int
    steps: int
    best: float
    weights: list[NDArray[np.float32]] = field(repr=False)
    curves: dict[str, list[float]]


def name_of(what: Iterable[object]) -> str:
    """The file of a training: the hash of all that its outcome depends on."""
    return hashlib.sha256("\n".join(map(str, what)).encode()).hexdigest()[:32] + ".npz"


class Checkpoint:
    """One file, written anew after every epoch and renamed into place, so that a broken write leaves the one before."""

    def __init__(self, path: Path) -> None:
        """Keep there; see ``name_of``."""
        self._path = path
        self._aside = path.with_suffix(".part")

    def save(self, run: Run, variables: Sequence[Any], generator: np.random.Generator) -> None:
        """Keep what ``load`` goes on from; where it cannot be written, say so."""
        arrays = {f"variable_{number}": np.asarray(each) for number, each in enumerate(variables)}
        arrays |= {f"best_{number}": each for number, each in enumerate(run.weights)}
        state = asdict(run) | {"weights": len(run.weights), "generator": generator.bit_generator.state}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._aside.open("wb") as file:
                np.savez(file, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
            self._aside.replace(self._path)
        except OSError as error:  # a full disk is no reason to end what it was to be kept for
            logger.warning("a training that is broken off now begins anew, since it cannot be kept: %s", error)

    def load(self, variables: Sequence[Any], generator: np.random.Generator) -> Run | None:
        """Put variables and draws back to where they were; None, and nothing changed, where nothing usable is kept."""
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = json.loads(arrays["state"].tobytes())
                values = [arrays[f"variable_{number}"] for number in range(len(variables))]
                weights = [arrays[f"best_{number}"] for number in range(state.pop("weights"))]
        except FileNotFoundError:
            return None
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            logger.warning("what was kept of a broken-off training cannot be read and is passed over: %s", error)
            return None
        if any(value.shape != tuple(variable.shape) for value, variable in zip(values, variables, strict=True)):
            return None
        generator.bit_generator.state = state.pop("generator")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return Run(**state, weights=weights)

    def drop(self) -> None:
        """The training is done: nothing is to be gone on from."""
        for path in (self._path, self._aside):
            with suppress(OSError):
                path.unlink()
