"""``nextbasket worker``: the stream, until SIGTERM."""

import os
import signal

import typer

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def worker() -> None:
    """Turn invoices into recommendations until SIGTERM; start as many as you like, anywhere.

    Waits for Kafka and Redis where they do not answer, at the start and in between.

    Example: NEXTBASKET_KAFKA_BROKERS=localhost:9092 NEXTBASKET_REDIS_URL=redis://localhost nextbasket worker
    """
    # Until the worker has begun there is nothing to end in order.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # Before numpy is loaded: its threads would only take the one core from the event loop, and make runs differ.
    for name in THREADS:
        os.environ[name] = "1"
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging

    settings = load_settings()
    configure_logging(settings)
    from stream.worker import run_worker

    raise typer.Exit(run_worker(settings))
