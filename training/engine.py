"""Engine: where a function is mapped over the parts of some work; here, in processes, or on a Ray cluster.

The results come in the order of the parts and do not depend on the engine. Parts and results are plain values that can
be pickled; they come from this program only.
"""

import copy
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain, islice
from typing import Any, Literal, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor

from training.errors import EngineUnavailable

logger = logging.getLogger(__name__)

EngineName = Literal["processes", "ray"]

Part = TypeVar("Part")
Result = TypeVar("Result")

_CONNECT_SECONDS = 10.0
MIN_PARTS = 6
"""Fewer parts are done here before other processes would have loaded their libraries."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_maps = 0
"""Maps in processes that have begun and not ended."""
_engine: ContextVar[EngineName] = ContextVar("engine", default="processes")


def map_parts(
    function: Callable[[Part], Result], parts: Iterable[Part], /, *, each_processor: int = 2
) -> Iterator[Result]:
    """The results of a function for each part, in the order of the parts.

    So many parts as given for each processor are in memory at once, results that wait for the caller among them. A
    process that dies ends in an error; on Ray the parts that it had are done again elsewhere.
    """
    if _engine.get() == "ray":
        return _map_on_ray(function, parts, each_processor)
    waiting = iter(parts)
    first = list(islice(waiting, MIN_PARTS))
    if len(first) < MIN_PARTS or joblib.cpu_count() < 2:
        return map(function, chain(first, waiting))
    return _map_in_processes(function, chain(first, waiting), each_processor)


@contextmanager
def running(engine: EngineName, address: str = "") -> Iterator[None]:
    """Map parts on an engine inside.

    Args:
        engine: ``processes`` of this machine, or ``ray``.
        address: Of a Ray cluster whose machines have this version of nextbasket; empty: one is started here.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        EngineUnavailable: There is no cluster at the address, or it cannot be used from here.
    """
    if engine == "processes":
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without a GPU the environment stays as it is
    if address:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")  # of 40 s each; 20 otherwise
    import ray

    started = not ray.is_initialized()
    if started:
        _require_server(address)
        # Without an address of its own Ray would take a cluster that it finds.
        here = {"include_dashboard": False, "num_cpus": joblib.cpu_count()} if not address else {}
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level=logging.WARNING, **here)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            where = f"The Ray cluster at {address}" if address else "Ray on this machine"
            raise EngineUnavailable(
                f"{where} cannot be used ({reason}). Its machines need the Ray and Python of this one, and a cluster "
                "with a token needs RAY_AUTH_MODE=token here. Check NEXTBASKET_RAY_ADDRESS, or unset it to use this "
                "machine alone."
            ) from error
    token = _engine.set("ray")
    try:
        yield
    finally:
        _engine.reset(token)
        if started:
            ray.shutdown()


def _require_server(address: str) -> None:
    """Make sure that something listens at an address ``host:port``; Ray itself would try for a quarter of an hour.

    Raises:
        EngineUnavailable: Nothing does.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return  # a name of Ray's, such as auto
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineUnavailable(
            f"No Ray cluster answers at {address} ({reason}). Check NEXTBASKET_RAY_ADDRESS, or unset it to use this "
            "machine alone."
        ) from error


def _map_in_processes(
    function: Callable[[Part], Result], parts: Iterable[Part], each_processor: int
) -> Iterator[Result]:
    # Not joblib.Parallel: its generator computes all results, however slowly they are taken.
    workers = joblib.cpu_count()
    waiting = iter(parts)
    with _processes(workers) as executor:
        futures = deque(executor.submit(function, part) for part in islice(waiting, each_processor * workers))
        try:
            while futures:
                result: Result = futures.popleft().result()
                futures.extend(executor.submit(function, part) for part in islice(waiting, 1))
                yield result
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _processes(number: int) -> Iterator[Any]:
    """Processes that maps inside of each other share, and that end with the outermost."""
    global _maps
    # Without a timeout: under load, processes that ended since they were idle left work undone.
    executor = get_reusable_executor(max_workers=number, timeout=None, env=_ONE_THREAD)
    _maps += 1
    try:
        yield executor
    finally:
        _maps -= 1
        if not _maps:
            executor.shutdown(wait=True)


def _map_on_ray(function: Callable[[Part], Result], parts: Iterable[Part], each_processor: int) -> Iterator[Result]:
    import ray

    task = ray.remote(max_retries=-1)(function)  # a part is done again for as long as machines are lost
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    in_flight = each_processor * max(sum(int(node["Resources"].get("CPU", 0)) for node in alive), 1)
    waiting = iter(parts)
    running_tasks: deque[Any] = deque(task.remote(part) for part in islice(waiting, in_flight))
    while running_tasks:
        result: Result = ray.get(running_tasks.popleft())
        running_tasks.extend(task.remote(part) for part in islice(waiting, 1))
        yield copy.deepcopy(result)  # its arrays are read-only, and hold on to Ray's store
