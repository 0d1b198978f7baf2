"""``nextbasket models``: the versions in the registry, and which of them is the champion, which serves."""

from typing import Annotated

import typer

from state.wording import count
from stream.cli.console import cell, echo, print_json
from stream.cli.exit_codes import ExitCode, Failure

models = typer.Typer(add_completion=False, no_args_is_help=True, help="List, promote and roll back models.")


@models.command("list", short_help="List the versions with dates and metrics, and which one serves.")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per version.")] = False,
) -> None:
    """List the versions, oldest first, with their dates and metrics; the champion is the one that serves.

    Created: when it was published. Promoted: when it last became the
    champion, by a training, by hand or by a rollback. Dates are in UTC.
    Dialect: in which its invoices were read; a worker refuses another one.
    Exit code 1 where there is none.

    Example:
      nextbasket models list --json
    """
    from state.settings import load_settings
    from stream.cli.registry import open_registry
    from stream.tools.model_versions import model_versions

    registry = open_registry(load_settings())
    versions = model_versions(registry)
    if not versions:
        echo(f"The registry {registry.url} is empty; `nextbasket train` fills it.", err=True)
        raise typer.Exit(ExitCode.NEGATIVE)
    if as_json:
        import msgspec

        for each in versions:
            row = msgspec.to_builtins(each.manifest) | {"current": each.current, "promoted": each.promoted}
            print_json(row, indent=None)
        return
    from rich.table import Table

    from stream.cli.console import table_console

    table = Table(title=cell(f"Models in {registry.url}"), title_justify="left")
    for column in ("", "version", "model", "created", "promoted", "dialect", "ndcg@10", "best baseline"):
        table.add_column(column, no_wrap=column == "version")
    for each in versions:
        manifest, baseline = each.manifest, each.best_baseline
        champion = "champion" if each.current else ""
        dates = _minute(manifest.created), _minute(each.promoted)
        dialect = cell(manifest.dialect.name if manifest.dialect else "–")
        model = "–" if each.ndcg is None else f"{each.ndcg:.4f}"
        best = "–" if baseline is None else f"{baseline[1]:.4f} {baseline[0]}"
        table.add_row(champion, cell(manifest.version), cell(manifest.name), *dates, dialect, model, cell(best))
    table_console().print(table)


@models.command(short_help="Let a version serve.")
def promote(version: Annotated[str, typer.Argument(help="A version, as `nextbasket models list` shows it.")]) -> None:
    """Let a version serve; running workers load it between two batches.

    Example:
      nextbasket models promote 2011-12-09T13-00-00Z
    """
    from datetime import UTC, datetime

    from state.settings import load_settings
    from stream.cli.registry import open_registry

    registry = open_registry(load_settings())
    before = registry.current()
    registry.promote(version, at=datetime.now(UTC))
    echo(f"{version} serves." if before is None else f"{version} serves; before it was {before}.")


@models.command(short_help="Let the version serve that served before.")
def rollback() -> None:
    """Let the version serve that served before; a second call goes one more back.

    Example:
      nextbasket models rollback
    """
    from datetime import UTC, datetime

    from state.settings import load_settings
    from stream.cli.registry import open_registry

    registry = open_registry(load_settings())
    before = registry.current()
    echo(f"{registry.rollback(at=datetime.now(UTC))} serves; before it was {before}.")


@models.command(short_help="Delete old versions, and those that hold erased customers.")
def prune(
    keep: Annotated[int, typer.Option(min=0, help="Versions that stay besides the champion, the newest.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
) -> None:
    """Delete old versions from the registry, and copies of models from the cache of this machine.

    Models of similar customers (tifu_knn, up_cf) hold vectors of customers.
    Versions of them that are older than the last erasure go in any case.
    The champion stays: exit code 1 where it is one of those; then train and
    promote another, and prune again. No other model holds customers.

    Example:
      nextbasket models prune --keep 5 --dry-run
    """
    from state.settings import load_settings
    from stream.cli.registry import open_registry
    from stream.kafka.customer_log import known_customers
    from stream.tools.model_pruning import plan_pruning
    from training.serving.baselines.neighbours import is_enumerable

    settings = load_settings()
    registry = open_registry(settings)
    erased = max((one.erased for one in known_customers(settings).erasures.values()), default=None)
    champion = registry.current()
    plan = plan_pruning(
        registry.versions(), champion, keep, erased, lambda version: is_enumerable(registry.open(version))
    )
    for version, reason in plan.deleted.items():
        if not dry_run:
            registry.delete(version)
        echo(f"{'Would delete' if dry_run else 'Deleted'} {version}: {reason}.")
    stale = set(registry.cached()) - {each.version for each in registry.versions()}
    checkpoints = list((settings.cache / "training").glob("*.npz"))
    if not dry_run:
        registry.forget_cached(stale)
        for path in checkpoints:
            path.unlink(missing_ok=True)
    echo(
        f"{count(len(plan.deleted), 'version')} of the registry, {count(len(stale), 'copy', 'copies')} of versions and "
        f"{count(len(checkpoints), 'checkpoint')} of trainings in {settings.cache}."
    )
    if plan.champion is not None:
        raise Failure(
            f"The champion {champion} stays, but {plan.champion}: train and promote another, and prune again."
        )


def _minute(date: str | None) -> str:
    """A date of the registry to the minute: ``2011-12-09 13:00``; a dash where there is none."""
    return "–" if date is None else date[:16].replace("T", " ")
