"""How a process that serves uses the interpreter; each case is a process of its own, because it changes the process."""

import subprocess
import sys

CODE = """
import gc, sys
from stream.interpreter import describe_interpreter, prepare_to_serve
{before}
kept = [[] for _ in range(200_000)]
prepare_to_serve()
print(describe_interpreter())
seen = len(gc.get_objects())
assert seen < 10_000, seen
circle = []
circle.append(circle)
del circle
assert gc.collect() >= 1
"""


def describe(before: str = "") -> str:
    code = CODE.format(before=before)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout


def test_what_is_loaded_is_exempt_from_collection_and_what_comes_later_is_not() -> None:
    described = describe("from stream.cli.threads import use_one_thread; use_one_thread(override=True)")
    assert "Threads of matrix products: 1, " in described
    assert "threads take turns after 1 ms" in described
    exempt = int(described.partition("garbage collection: ")[2].partition(" objects")[0].replace(",", ""))
    assert exempt > 200_000


def test_values_that_nobody_set_are_not_claimed() -> None:
    described = describe("import os; [os.environ.pop(n, 0) for n in ('OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE')]")
    assert "as many as the library chooses, kernels: as OpenBLAS chooses" in described
