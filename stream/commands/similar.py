"""``nextbasket similar``: items like an item, or customers like a customer, by the towers of a hybrid model."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from state.settings import Settings
    from training.serving.two_tower.scorer import HybridScorer

HYBRID = ("hybrid", "content", "collaborative")


def similar(
    stock_code: Annotated[str | None, typer.Argument(help="The item; leave it out with --customers.")] = None,
    customers: Annotated[str | None, typer.Option(help="A customer: shows customers like this one.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many are shown.")] = 10,
    version: Annotated[str | None, typer.Option(help="Of the bundle; the newest hybrid one unless given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False,
) -> None:
    """Show the items most like one, or the customers most like one.

    A model of two towers is needed (nextbasket train --model hybrid); the one that serves, else the newest published.
    What is not known here is told so, with exit code 1.

    Example: nextbasket similar 22613 --most 5
    """
    from state.settings import load_settings
    from state.store.redis.store import RedisStore
    from stream.tools.similarity import similar_customers, similar_items

    if (stock_code is None) == (customers is None):
        raise Failure("Give either a stock code, or --customers with a customer.", ExitCode.USAGE)
    settings = load_settings()
    towers = _towers(settings, version)
    with closing(RedisStore(settings)) as store:
        if stock_code is not None:
            found = similar_items(stock_code, store, towers, most)
        else:
            found = similar_customers(customers or "", store, towers, most)
    asked = f"item {stock_code!r}" if stock_code is not None else f"customer {customers!r}"
    if found is None:
        raise Failure(f"No {asked} is known here; the worker learns of them from invoices.")
    if found and not any(like.cosine for like in found):
        raise Failure(
            f"{towers.name} {towers.version} was trained without {asked} and has nothing to compare by: "
            "name the version of a model that reads features, hybrid or content."
        )
    if as_json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    columns = ("stock code", "cosine", "description") if stock_code is not None else ("customer", "cosine")
    table = Table(*columns, box=None)
    for like in found:
        table.add_row(*(escape(like.name), f"{like.cosine:.3f}", escape(like.description or ""))[: len(columns)])
    Console(highlight=False).print(table)


def _towers(settings: "Settings", version: str | None) -> "HybridScorer":
    """The model to ask: of the given version, else the one that serves, else the newest that was published.

    Raises:
        Failure: None of them has towers.
        RegistryError: The registry or the bundle cannot be used.
    """
    from training.registry import Registry
    from training.serving.load import load_scorer
    from training.serving.two_tower.scorer import HybridScorer

    registry = Registry(settings.registry_url, cache=settings.cache)
    if version is None:
        fitting = [manifest.version for manifest in registry.versions() if manifest.name in HYBRID]
        current = registry.current()
        version = current if current in fitting else fitting[-1] if fitting else None
    scorer = None if version is None else load_scorer(registry.open(version))
    if not isinstance(scorer, HybridScorer):
        raise Failure(
            "No model here has towers to compare by: nextbasket train --model hybrid publishes one."
            if version is None
            else f"The model of version {version} has no towers to compare by: name one of a hybrid model.",
        )
    return scorer
