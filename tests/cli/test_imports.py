"""Which libraries the worker and the commands import; each case is a process of its own."""

import subprocess
import sys

import pytest

from stream.cli.main import COMMANDS

HEAVY = ("tensorflow", "keras", "pandas", "pyarrow", "h5py")


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    ).stdout.strip()


def loaded_by(statement: str) -> set[str]:
    printed = run(f"import sys; {statement}; print(','.join(sys.modules))")
    return {name.partition(".")[0] for name in printed.split(",")}


def test_a_worker_imports_neither_tensorflow_nor_pandas() -> None:
    loaded = loaded_by("import stream.worker, stream.commands.worker")
    assert "faust" in loaded
    assert loaded.isdisjoint({*HEAVY, "scipy", "fastapi", "uvicorn", "kafka", "matplotlib"})


def test_a_worker_imports_few_modules_and_takes_little_memory() -> None:
    """It serves within three seconds in 200 MB; half of the memory, and most of the time, are imports."""
    printed = run(
        "import sys, stream.worker, stream.commands.worker, psutil; "
        "print(len(sys.modules), psutil.Process().memory_info().rss)"
    )
    modules, memory = map(int, printed.split())
    assert modules < 1_300
    assert memory < 120e6


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


@pytest.mark.parametrize("arguments", [["train"], ["evaluate", "--from", "2011-01-01", "--to", "2011-02-01"]])
def test_a_training_chooses_the_kernels_of_matrix_products_before_they_are_loaded(arguments: list[str]) -> None:
    printed = run(
        "import sys; from stream.cli import threads\n"
        "threads.choose_kernels = lambda: print('numpy' in sys.modules)\n"
        f"from stream.cli.main import main; main({[*arguments, '--data', 'missing.parquet']})"
    )
    assert printed.splitlines()[0] == "False"
