"""A network fitted in a process of its own while another is fitted here.

Two threads of one process wait for each other's Python; two processes on two cores do not. The other one is an
interpreter of its own and not a fork, which TensorFlow does not survive. It is handed its examples and hands its
weights back in files, and says how far it is on its standard output. It ends with this one: by a signal where it is not
wanted any more, and by a pipe that nobody reads where this one is killed.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import joblib
import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import progress
from training.models.basket_lstm.examples import Example, load_examples, save_examples
from training.models.basket_lstm.fitting import Recipe, make_network
from training.models.basket_lstm.network import BasketNetwork
from training.serving.basket_lstm.scorer import input_sizes

logger = logging.getLogger(__name__)

FROM_EXAMPLES = 5_000
"""Of fewer a network is fitted before another process would have loaded TensorFlow and traced its graph, some 10 s."""
_RECIPE, _EXAMPLES, _WEIGHTS, _ERRORS = "recipe.json", "examples", "weights.npz", "errors.txt"


class SubprocessFit(AbstractContextManager["SubprocessFit"]):
    """A network with nothing held out, fitted from ``__enter__`` on in another process, which ``__exit__`` ends.

    No process is begun where it would not be sooner done: for few examples, on one core, or on a GPU, whose memory
    TensorFlow takes as a whole.
    """

    def __init__(self, recipe: Recipe, examples: Sequence[Example]) -> None:
        self._recipe = recipe
        self._examples = examples
        self._ends = ExitStack()
        self._folder = Path()
        self._process: subprocess.Popen[str] | None = None

    @property
    def begun(self) -> bool:
        """Whether there is another process, which nobody has waited for yet."""
        return self._process is not None

    def __enter__(self) -> Self:
        few = len(self._examples) < FROM_EXAMPLES
        if few or joblib.cpu_count() < 2 or tf.config.list_physical_devices("GPU"):
            return self
        try:
            self._folder = Path(self._ends.enter_context(TemporaryDirectory(prefix="nextbasket-")))
            self._process = self._begin()
        except (OSError, MemoryError) as error:  # no room for the files, or no right to begin a process
            self._ends.close()
            _warn(f"could not be begun: {error}")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def network(self, recipe: Recipe) -> BasketNetwork:
        """The network of a recipe: of the other process where it was begun with that, else fitted here and now."""
        if self._process is not None and recipe == self._recipe:
            weights = self._weights(self._process)
            if weights is not None:
                network = BasketNetwork(input_sizes(), recipe.left_out)
                network.set_weights(weights)
                return network
        self._end()
        return make_network(recipe, self._examples, [])[0]

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()  # it may: what is kept of its training is renamed into place
            self._process.communicate()
            self._process = None
        self._ends.close()

    def _begin(self) -> "subprocess.Popen[str]":
        (self._folder / _RECIPE).write_bytes(msgspec.json.encode(self._recipe))
        (self._folder / _EXAMPLES).mkdir()
        save_examples(self._examples, self._folder / _EXAMPLES)
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        command = [sys.executable, "-P", "-m", "training.models.basket_lstm", str(self._folder), str(threads)]
        # It finds the modules that are found here, and no folder of the same name that somebody happens to be in.
        path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
        with (self._folder / _ERRORS).open("wb") as errors:
            return subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def _weights(self, process: "subprocess.Popen[str]") -> list[NDArray[np.float32]] | None:
        """Wait for the weights, in the order of the network's; None, with a warning, where there will be none."""
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            percent, _, note = line.rstrip("\n").partition(" ")
            if not percent.isdigit():  # a library's word, not ours
                continue
            progress.update(int(percent), 100, note)
            if note != last:
                logger.info("beside: %s", note)
                last = note
        code = process.wait()
        if code == 0:
            with np.load(self._folder / _WEIGHTS, allow_pickle=False) as arrays:
                return [arrays[name] for name in arrays.files]
        said = (self._folder / _ERRORS).read_text(errors="replace").strip().splitlines()
        if code < 0:
            _warn(f"was ended by a signal: {signal.strsignal(-code)}")
        else:
            _warn(f"ended with {code}: {said[-1] if said else 'it said nothing'}")
        return None


def fit_here(folder: Path, threads: int) -> None:
    """What the other process does: ``threads`` is how many an operation of TensorFlow has, 0 as many as it likes."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.experimental.enable_op_determinism()
    recipe = msgspec.json.decode((folder / _RECIPE).read_bytes(), type=Recipe)
    examples = load_examples(folder / _EXAMPLES)
    shutil.rmtree(folder / _EXAMPLES, ignore_errors=True)  # mapped, they stay until this process ends, and no longer
    try:
        with progress.shown_by(_PipedProgress()) as pipe:
            network, curves = make_network(recipe, examples, [])
        np.savez(folder / _WEIGHTS, *network.get_weights())
        pipe.write(100, f"epoch {recipe.schedule.epochs}/{recipe.schedule.epochs}, learnt {curves['learnt'][-1]:.3f}")
    except BrokenPipeError:  # whoever waited for this was killed
        shutil.rmtree(folder, ignore_errors=True)
        raise


class _PipedProgress:
    """Writes progress to standard output, a line a percent: a pipe holds a hundred lines that nobody has read yet."""

    def __init__(self) -> None:
        self._written = -1

    def stage(self, name: str) -> None:
        pass

    def update(self, done: int, total: int, note: str = "") -> None:
        if (percent := 100 * done // max(total, 1)) > self._written:
            self._written = percent
            self.write(percent, note)

    def write(self, percent: int, note: str) -> None:
        sys.stdout.write(f"{percent} {note}\n")
        sys.stdout.flush()


def _warn(what: str) -> None:
    logger.warning(
        "a network is fitted here and takes longer: the process that was to fit it %s. Where memory is short, "
        "LOKY_MAX_CPU_COUNT=1 does without that process.",
        what,
    )
