"""Keeping a training that may be broken off: its variables after every epoch, and its draws."""

import hashlib
import json
import logging
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


State = list[NDArray[Any]]
"""Values of all variables, of the network and of its optimizer."""


class Run(NamedTuple):
    """How far a training is: how things stood at its beginning and after each epoch, and the losses of the epochs.

    ``curves``: by ``learnt`` and, where anything was, ``held out``.
    """

    states: list[State]
    curves: dict[str, list[float]]

    @property
    def best(self) -> int:
        """The epoch that was best on what was held out, from 1 on; where nothing was, the last."""
        held = self.curves.get("held out")
        return 1 + int(np.argmin(held)) if held else len(self.states) - 1


class Kept:
    """One file, written anew after every epoch and renamed into place, so that a broken write leaves the one before."""

    def __init__(self, folder: Path, what: Iterable[object]) -> None:
        """Keep in a folder, under the hash of all that the outcome depends on."""
        name = hashlib.sha256("\n".join(map(str, what)).encode()).hexdigest()[:32]
        self._path = folder / f"{name}.npz"

    def save(self, run: Run, generator: np.random.Generator) -> None:
        """Keep what ``load`` goes on from."""
        arrays = {
            f"{place}_{number}": value for place, state in enumerate(run.states) for number, value in enumerate(state)
        }
        told = {"states": len(run.states), "curves": run.curves, "generator": generator.bit_generator.state}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".part")
        with aside.open("wb") as file:
            np.savez(file, told=np.frombuffer(json.dumps(told).encode(), np.uint8), **arrays)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
        aside.replace(self._path)

    def load(self, variables: Sequence[Any], generator: np.random.Generator) -> Run | None:
        """What was kept of a run with such variables, and the draws put back to where they were.

        None, and nothing changed, where nothing usable is kept.
        """
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                told = json.loads(arrays["told"].tobytes())
                states = [
                    [arrays[f"{place}_{number}"] for number in range(len(variables))] for place in range(told["states"])
                ]
        except FileNotFoundError:
            return None
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            logger.warning("what was kept of a broken-off training cannot be read and is passed over: %s", error)
            return None
        if any(
            value.shape != tuple(variable.shape)
            for state in states
            for value, variable in zip(state, variables, strict=True)
        ):
            return None
        generator.bit_generator.state = told["generator"]
        return Run(states, told["curves"])

    def drop(self) -> None:
        """The training is done: nothing is to be gone on from."""
        self._path.unlink(missing_ok=True)
