"""A network fitted in another process, while the selection network is fitted in this one.

Two threads of one process wait for each other's Python; two processes on two cores do not. The other one is a new
interpreter and not a fork, which TensorFlow does not survive. It maps its examples from files, writes its weights into
a file, and its progress to its standard output. It ends with this one: by a signal where it is not wanted any more, and
by a broken pipe where this one was killed.

``multiprocessing`` would run the script of the caller again, which trains twice without a main guard; a ``loky``
worker would mix TensorFlow's messages with the progress bars, and lose the line that says why it failed.
"""

import logging
import os
import pickle
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
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import progress
from training.models.basket_lstm.examples import Example, load_examples, save_examples
from training.models.basket_lstm.fitting import FitConfig, make_network
from training.models.basket_lstm.network import BasketNetwork
from training.models.training_loop import TRAINING
from training.serving.basket_lstm.scorer import input_sizes

logger = logging.getLogger(__name__)

MIN_EXAMPLES = 5_000
"""Fewer are fitted here before another process would have loaded TensorFlow and traced its graph, some 10 s."""
_CONFIG, _EXAMPLES, _WEIGHTS, _ERRORS = "config.pickle", "examples", "weights.npz", "errors.txt"


class SubprocessFit(AbstractContextManager["SubprocessFit"]):
    """A network without a validation set, fitted in another process from ``__enter__`` on; ``__exit__`` ends it.

    No process is started where it would not save time: for few examples, on one core, or on a GPU, whose memory
    TensorFlow takes as a whole.
    """

    def __init__(self, config: FitConfig, examples: Sequence[Example]) -> None:
        self._config = config
        self._examples = examples
        self._exits = ExitStack()
        self._folder = Path()
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is another process, whose result nobody has asked for."""
        return self._process is not None

    def __enter__(self) -> Self:
        few = len(self._examples) < MIN_EXAMPLES
        if few or joblib.cpu_count() < 2 or tf.config.list_physical_devices("GPU"):
            return self
        try:
            self._folder = Path(self._exits.enter_context(TemporaryDirectory(prefix="nextbasket-")))
            self._process = self._start()
        except (OSError, MemoryError) as error:  # no room for the files, or no right to start a process
            self._exits.close()
            _warn(f"could not be started: {error}")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def network(self, config: FitConfig) -> BasketNetwork:
        """The network of a configuration: from the other process where it has that one, else fitted here and now."""
        if self._process is not None and config == self._config:
            weights = self._weights(self._process)
            if weights is not None:
                network = config.build(input_sizes())
                network.set_weights(weights)
                return network
        self._end()
        return make_network(config, self._examples, [])[0]

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()  # at any time: its checkpoint is renamed into place
            self._process.communicate()
            self._process = None
        self._exits.close()

    def _start(self) -> "subprocess.Popen[str]":
        (self._folder / _CONFIG).write_bytes(pickle.dumps(self._config))
        (self._folder / _EXAMPLES).mkdir()
        save_examples(self._examples, self._folder / _EXAMPLES)
        threading = tf.config.threading
        threads = threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()
        command = [sys.executable, "-P", "-m", "training.models.basket_lstm", str(self._folder), *map(str, threads)]
        # It finds the modules that are found here, and not a folder of the same name in the working directory.
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
        """Wait for the weights, in the order of the network's; None, with a warning, where the process failed."""
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            percent, _, note = line.rstrip("\n").partition(" ")
            if not percent.isdigit():  # printed by a library
                continue
            progress.update(int(percent), 100, note)
            if note != last:
                logger.info("in the other process: %s", note)
                last = note
        code = process.wait()
        if code == 0:
            with np.load(self._folder / _WEIGHTS, allow_pickle=False) as arrays:
                return [arrays[name] for name in arrays.files]
        errors = (self._folder / _ERRORS).read_text(errors="replace").strip().splitlines()
        if code < 0:
            _warn(f"was ended by a signal: {signal.strsignal(-code)}")
        else:
            _warn(f"ended with {code}: {errors[-1] if errors else 'without an error message'}")
        return None


def fit_in_subprocess(folder: Path, threads: int, operations: int) -> None:
    """What the other process does, with so many TensorFlow ``threads`` an operation and ``operations`` at once.

    Where a number is 0, TensorFlow chooses it.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(operations)
    tf.config.experimental.enable_op_determinism()
    config: FitConfig = pickle.loads((folder / _CONFIG).read_bytes())
    examples = load_examples(folder / _EXAMPLES)
    shutil.rmtree(folder / _EXAMPLES, ignore_errors=True)  # mapped, they exist until this process ends, and no longer
    epochs = config.schedule.epochs
    try:
        with progress.shown_by(_PipedProgress()) as pipe:
            network, curves = make_network(config, examples, [])
        np.savez(folder / _WEIGHTS, *network.get_weights())
        pipe.write(100, f"epoch {epochs}/{epochs}, {TRAINING} {curves[TRAINING][-1]:.3f}")
    except BrokenPipeError:  # the process that waited for this one was killed
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


def _warn(reason: str) -> None:
    logger.warning(
        "a network is fitted in this process and takes longer: the process that was to fit it %s. Where memory is "
        "short, LOKY_MAX_CPU_COUNT=1 prevents the other process.",
        reason,
    )
