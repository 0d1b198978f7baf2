"""``nextbasket worker``: the stream, until SIGTERM."""

import os
import signal

import typer

from stream.cli.threads import use_one_thread


def worker() -> None:
    """Turn invoices into recommendations until SIGTERM.

    Start as many as you like, on any machine: they share the work.
    Waits for Kafka and Redis while they do not answer.

    Example:
      export NEXTBASKET_KAFKA_BROKERS=localhost:9092
      export NEXTBASKET_REDIS_URL=redis://localhost
      nextbasket worker
    """
    # Until the worker has begun there is nothing to end in order.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    use_one_thread(override=True)
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging

    settings = load_settings()
    configure_logging(settings)
    from stream.worker import run_worker

    raise typer.Exit(run_worker(settings))
