"""``nextbasket models``: the versions in the registry, and which of them is the champion, which serves."""

from typing import Annotated

import typer

from stream.cli.console import cell, echo, print_json
from stream.cli.exit_codes import ExitCode

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


def _minute(date: str | None) -> str:
    """A date of the registry to the minute: ``2011-12-09 13:00``; a dash where there is none."""
    return "–" if date is None else date[:16].replace("T", " ")
