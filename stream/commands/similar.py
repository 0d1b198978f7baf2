"""``nextbasket similar``: similar items or similar customers, by the vectors of a two-tower model."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.console import cell
from stream.cli.exit_codes import ExitCode, Failure

if TYPE_CHECKING:
    from state.settings import Settings
    from stream.tools.similarity import Similar
    from training.serving.two_tower.scorer import TwoTowerScorer

TWO_TOWER_MODELS = ("hybrid", "content", "collaborative")
"""Names under which two-tower models are published."""


def similar(
    stock_code: Annotated[str | None, typer.Argument(help="The item; leave it out with --customers.")] = None,
    customers: Annotated[str | None, typer.Option(help="A customer id: shows customers similar to this one.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many to show.")] = 10,
    version: Annotated[
        str | None,
        typer.Option(help="Version of the model. Default: the one that serves, or the newest two-tower model."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")] = False,
) -> None:
    """Show the items most similar to one, or the customers most similar to one.

    Needs NEXTBASKET_REDIS_URL, and a two-tower model, which
    nextbasket train --model hybrid publishes.
    Exit code 1 where there is none, and for an unknown item or customer.

    Example:
      nextbasket similar 22613 --most 5
    """
    from state.events.shop_dialect import shop_dialect
    from state.settings import load_settings
    from state.store.claim import require_store_dialect
    from state.store.redis.store import RedisStore
    from stream.tools.similarity import similar_customers, similar_items

    if (stock_code is None) == (customers is None):
        raise Failure("Give either a stock code, or --customers with a customer.", ExitCode.USAGE)
    settings = load_settings()
    scorer = _two_tower_scorer(settings, version)
    with closing(RedisStore(settings)) as store:
        require_store_dialect(store.dialect(), shop_dialect(settings))
        if stock_code is not None:
            found = similar_items(stock_code, store, scorer, most)
        else:
            found = similar_customers(customers or "", store, scorer, most)
    subject = f"item {stock_code!r}" if stock_code is not None else f"customer {customers!r}"
    if found is None:
        raise Failure(f"No {subject} is known here; the worker learns of them from invoices.")
    if found and not any(neighbour.cosine for neighbour in found):
        raise Failure(
            f"{scorer.name} {scorer.version} was trained without {subject} and has no vector for it: "
            "name the version of a model that reads features, hybrid or content."
        )
    if as_json:
        from stream.cli.console import print_json

        print_json(found)
    else:
        _print(found, items=stock_code is not None)


def _print(found: "list[Similar]", *, items: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ("stock code", "cosine", "description") if items else ("customer", "cosine")
    table = Table(*columns, box=None)
    for neighbour in found:
        cells = cell(neighbour.name), f"{neighbour.cosine:.3f}", cell(neighbour.description or "")
        table.add_row(*cells[: len(columns)])
    Console(highlight=False).print(table)


def _two_tower_scorer(settings: "Settings", version: str | None) -> "TwoTowerScorer":
    """The model of the given version, else the one that serves, else the newest two-tower model.

    Raises:
        Failure: That version is no two-tower model, or there is none.
        RegistryError: The registry or the bundle cannot be used.
        DialectDiffers: The model was trained on invoices that were read in another dialect.
    """
    from state.events.shop_dialect import shop_dialect
    from stream.cli.registry import open_registry
    from training.serving.load import load_scorer
    from training.serving.two_tower.scorer import TwoTowerScorer

    registry = open_registry(settings)
    if version is None:
        versions = [manifest.version for manifest in registry.versions() if manifest.name in TWO_TOWER_MODELS]
        current = registry.current()
        version = current if current in versions else versions[-1] if versions else None
    scorer = None if version is None else load_scorer(registry.open(version), shop_dialect(settings))
    if not isinstance(scorer, TwoTowerScorer):
        raise Failure(
            "No model here has vectors to compare by: nextbasket train --model hybrid publishes one."
            if version is None
            else f"The model of version {version} has no vectors to compare by: name one of a hybrid model.",
        )
    return scorer
