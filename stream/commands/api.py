"""``nextbasket api``: HTTP for storefronts, until SIGTERM."""

from typing import Annotated

import typer

from stream.cli.threads import use_one_thread


def api(
    host: Annotated[
        str, typer.Option(help="Address to serve. Without API keys it must be of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to serve; 0 takes a free one.")] = 8080,
) -> None:
    """Serve recommendations, invoices and items over HTTP until SIGTERM.

    Reads Redis and the model registry, writes only to Kafka. Start as many as you like.
    At / is a page for operators and merchants; there a model can be promoted too.
    Without API keys only this machine is served.

    Example:
      export NEXTBASKET_KAFKA_BROKERS=localhost:9092
      export NEXTBASKET_REDIS_URL=redis://localhost
      nextbasket api --port 8080
      curl localhost:8080/v1/customers/12680/recommendations
    """
    use_one_thread(override=True)
    from state.settings import load_settings
    from stream.cli.logging_setup import configure_logging

    settings = load_settings()
    configure_logging(settings)
    from stream.api.server import serve_api

    raise typer.Exit(serve_api(settings, host, port))
