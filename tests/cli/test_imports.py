"""Which libraries the worker and the commands import; each case is a process of its own."""

import subprocess
import sys

import pytest

from stream.cli.main import COMMANDS

HEAVY = ("tensorflow", "keras", "pandas", "pyarrow", "h5py")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(','.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return {name.partition(".")[0] for name in done.stdout.strip().split(",")}


def test_a_worker_imports_neither_tensorflow_nor_pandas() -> None:
    loaded = loaded_by("import stream.worker, stream.commands.worker")
    assert "faust" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_nothing_heavy_before_it_runs(command: str) -> None:
    module, _ = COMMANDS[command][0].split(":")
    loaded = loaded_by(f"import {module}")
    assert loaded.isdisjoint({*HEAVY, "faust", "kafka", "confluent_kafka", "redis", "numpy", "rich.console"})


@pytest.mark.parametrize(
    "modules",
    ["training.registry", "training.serving.load, training.serving.basket_lstm.scorer, training.features"],
)
def test_what_a_worker_shares_with_training_imports_nothing_heavy(modules: str) -> None:
    assert loaded_by(f"import {modules}").isdisjoint(HEAVY)
