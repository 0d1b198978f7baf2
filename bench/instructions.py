"""Processor instructions of each stage from an event to its recommendation, counted by valgrind: no clock, no load.

    python -m bench.instructions
    python -m bench.instructions --baseline TREE
    python -m bench.instructions --store

valgrind counts what a simulated processor executes, so other work on the machine changes nothing, and two runs differ
by less than 1 %. Stages are compared by their ratio to a reference of Python and NumPy calls that is counted in the
same run, which takes out most of the difference between builds of Python. ``--baseline`` counts another checkout in the
same run. ``--store`` writes the ratios that ``tests/cli/test_instructions.py`` compares with. Needs valgrind (``apt-get
install valgrind``) and a processor of the kind x86-64. Takes three quarters of a minute of processor time
a tree.

A made-up shop of 400 items, a batch of four customers, a network of the usual size with random weights. The stages are
in ``bench/instruction_stages.py``. Not counted: what Redis and Kafka compute, their clients, and TensorFlow.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.instruction_stages import REFERENCE, STAGES

STORED = Path(__file__).with_suffix(".json")
SLOWER = 1.15
"""A stage is too slow from so many times its stored ratio on."""

_FOLDER = Path(__file__).resolve().parent
_PINNED = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",  # valgrind knows no AVX-512
    "OPENBLAS_L2_SIZE": "512",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class Counts(NamedTuple):
    """Instructions of each stage over those of the reference: as it is, and with a fifth more of its runs."""

    ratios: dict[str, float]
    slowed: dict[str, float]


def count(tree: Path = _FOLDER.parent) -> Counts:
    """Counts the stages of a checkout.

    Raises:
        RuntimeError: valgrind is missing or failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed: apt-get install valgrind")
    if platform.machine() not in {"x86_64", "AMD64"}:
        raise RuntimeError("instructions are counted on x86-64 only")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = os.environ | _PINNED | {"PYTHONPATH": str(tree)}
        # -P: or the scripts' folder, which has a module named stream, would come before the tree.
        python = [sys.executable, "-P"]
        _run([*python, str(_FOLDER / "instruction_workload.py"), name], tree, environment)
        options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'counts'}"]
        _run([valgrind, *options, *python, str(_FOLDER / "instruction_stages.py"), name], tree, environment)
        stages = json.loads((folder / STAGES).read_text())
        files = sorted(folder.glob("counts.*"), key=lambda file: int(file.suffix[1:]))
        counts = [_total(file) for file in files]
    if len(counts) not in {3 * len(stages), 3 * len(stages) + 1}:
        raise RuntimeError(f"valgrind wrote {len(counts)} counts for {len(stages)} stages")
    found, further = (dict(zip(stages, counts[part : 3 * len(stages) : 3], strict=True)) for part in (1, 2))
    slowed = {stage: found[stage] + further[stage] for stage in stages}
    reference = found[REFERENCE]
    return Counts(
        *({stage: each[stage] / reference for stage in stages if stage != REFERENCE} for each in (found, slowed))
    )


def slower(counted: dict[str, float], stored: dict[str, float]) -> dict[str, float]:
    """The stages that are too slow, and how many times their stored ratio they take."""
    return {stage: counted[stage] / ratio for stage, ratio in stored.items() if counted[stage] > SLOWER * ratio}


def _run(command: list[str], tree: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def _total(file: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{file.name} has no total")
    return int(found[1])


def read_stored() -> dict[str, float]:
    """The stored ratios by stage."""
    stored: dict[str, float] = json.loads(STORED.read_text())["ratios"]
    return stored


def main(baseline: Path | None, *, store: bool) -> None:
    """Print a row for each stage."""
    counted = count().ratios
    if store:
        python = ".".join(map(str, sys.version_info[:2]))
        ratios = {stage: round(ratio, 4) for stage, ratio in counted.items()}
        STORED.write_text(json.dumps({"python": python, "ratios": ratios}, indent=4) + "\n")
    compared = count(baseline.resolve()).ratios if baseline else read_stored()
    print(f"{'instructions over the reference':34}{'now':>10}{'baseline' if baseline else 'stored':>10}{'ratio':>8}")
    for stage, ratio in counted.items():
        if (other := compared.get(stage)) is None:
            print(f"{stage:34}{ratio:10.3f}{'none':>10}")
        else:
            print(f"{stage:34}{ratio:10.3f}{other:10.3f}{ratio / other:8.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, help="a folder with another checkout, to compare with")
    parser.add_argument("--store", action="store_true", help="store the ratios that the test compares with")
    arguments = parser.parse_args()
    if arguments.baseline is not None and not (arguments.baseline / "training").is_dir():
        parser.error(f"there is no checkout at {arguments.baseline}")
    main(arguments.baseline, store=arguments.store)
