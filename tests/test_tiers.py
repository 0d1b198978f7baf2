"""The unit tier stays quick: no process is started there, and nothing of TensorFlow is loaded."""

import ast
from pathlib import Path

import pytest

UNIT = Path(__file__).parent / "unit"
NOT_IN_UNIT = {"subprocess", "multiprocessing", "tensorflow", "keras", "tensorflow_hub"}


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("file", sorted(UNIT.rglob("*.py")), ids=lambda file: str(file.relative_to(UNIT)))
def test_a_unit_test_starts_no_process_and_loads_no_tensorflow(file: Path) -> None:
    assert imported(file).isdisjoint(NOT_IN_UNIT)


def test_what_is_forbidden_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "test_example.py"
    file.write_text("def test_example():\n    import tensorflow as tf\n    from subprocess import run\n")
    assert imported(file) == {"tensorflow", "subprocess"}
