"""How a process that serves uses the interpreter; each case is a process of its own, because it changes the process."""

import subprocess
import sys

CODE = """
import gc, sys
from stream.interpreter import describe_interpreter, prepare_to_serve
{before}
kept = [[] for _ in range(200_000)]
prepare_to_serve()
print(describe_interpreter(after_each_batch={after_each_batch}))
seen = len(gc.get_objects())
assert seen < 10_000, seen
circle = []
circle.append(circle)
del circle
assert gc.collect() >= 1
"""


def describe(before: str = "", *, after_each_batch: bool = True) -> str:
    code = CODE.format(before=before, after_each_batch=after_each_batch)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout


def test_what_is_loaded_is_exempt_from_collection_and_what_comes_later_is_not() -> None:
    described = describe("from stream.cli.threads import use_one_thread; use_one_thread(override=True)")
    assert "Threads of matrix products: 1, " in described
    assert "threads take turns after 1 ms" in described
    assert "exempt, after each batch and after 5,000 new ones" in described
    exempt = int(described.partition("garbage collection: ")[2].partition(" objects")[0].replace(",", ""))
    assert exempt > 200_000


def test_values_that_nobody_set_are_not_claimed() -> None:
    before = "import os; [os.environ.pop(n, 0) for n in ('OPENBLAS_NUM_THREADS', 'OPENBLAS_CORETYPE')]"
    described = describe(before, after_each_batch=False)  # as the API, which has no such collector
    assert "exempt, after 5,000 new ones" in described
    assert "as many as the library chooses, kernels: as OpenBLAS chooses" in described


CHURN = """
import gc
from stream.interpreter import BatchCollector, prepare_to_serve
prepare_to_serve()
now = 0.0
collector = BatchCollector(lambda: now)
cache = {{}}
most = 0
for number in range(400):
    for each in range(1_000):
        cache.pop((number - 10, each), None)
        cache[number, each] = [[]]
    circle = []
    circle.append(circle)
    del circle
    {after_each}
    most = max(most, len(gc.get_objects(0)) + len(gc.get_objects(1)))
print(most)
"""


def most_young_objects(after_each: str) -> int:
    """The most objects that a collection of the young ones looks at, while a cache drops as many as it takes in."""
    code = CHURN.format(after_each=after_each)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


def test_the_collector_looks_at_the_objects_of_one_batch_at_most() -> None:
    assert most_young_objects("pass") > 15_000
    assert most_young_objects("collector.collect()") < 3_000


OLD = """
import gc, weakref
from stream.interpreter import FULL_COLLECTION_INTERVAL_S, BatchCollector
gc.disable()
now = 0.0
collector = BatchCollector(lambda: now)
class Circle: pass
circle = Circle()
circle.itself = circle
gone = weakref.ref(circle)
collector.collect()  # it is an old object now
del circle
collector.collect()
assert gone() is not None
now = FULL_COLLECTION_INTERVAL_S
collector.collect()
assert gone() is None
"""


def test_old_garbage_goes_after_the_interval() -> None:
    subprocess.run([sys.executable, "-c", OLD], timeout=60, check=True)
