"""``nextbasket models``: the registry's versions, and which of them serves."""

from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from training.registry import Registry

models = typer.Typer(add_completion=False, no_args_is_help=True, help="List, promote and roll back models.")


@models.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a version, one a line.")] = False,
) -> None:
    """List the versions, the oldest first, with what was measured and which one serves.

    Exit code 1 where there is none.

    Example: nextbasket models list --json
    """
    registry = _registry()
    current = registry.current()
    versions = registry.versions()
    if not versions:
        typer.echo(f"The registry {registry.url} is empty; `nextbasket train` fills it.", err=True)
        raise typer.Exit(ExitCode.NEGATIVE)
    if as_json:
        import msgspec

        for manifest in versions:
            held = msgspec.to_builtins(manifest) | {"current": manifest.version == current}
            typer.echo(msgspec.json.encode(held).decode())
        return
    from rich.table import Table

    from stream.cli.progress import wide_console

    table = Table(title=f"Models in {registry.url}", title_justify="left")
    for column in ("", "version", "model", "ndcg@10", "best baseline"):
        table.add_column(column, no_wrap=column == "version")
    for manifest in versions:
        own, best = _figures(manifest.name, manifest.metrics)
        serves = "serves" if manifest.version == current else ""
        table.add_row(serves, manifest.version, manifest.name, own, best)
    wide_console().print(table)


@models.command()
def promote(version: Annotated[str, typer.Argument(help="A version, as `nextbasket models list` shows it.")]) -> None:
    """Let a version serve; running workers change over between two batches.

    Example: nextbasket models promote 2011-12-09T13-00-00Z
    """
    from datetime import UTC, datetime

    registry = _registry()
    before = registry.current()
    registry.promote(version, at=datetime.now(UTC))
    typer.echo(f"{version} serves." if before is None else f"{version} serves; before it was {before}.")


@models.command()
def rollback() -> None:
    """Let the version serve that served before; again, the one before that.

    Example: nextbasket models rollback
    """
    from datetime import UTC, datetime

    registry = _registry()
    before = registry.current()
    typer.echo(f"{registry.rollback(at=datetime.now(UTC))} serves; before it was {before}.")


def _registry() -> "Registry":
    from state.settings import load_settings
    from training.registry import Registry

    settings = load_settings()
    return Registry(settings.registry_url, cache=settings.cache)


def _figures(name: str, metrics: dict[str, dict[str, float]]) -> tuple[str, str]:
    """The model's own ndcg@10, and the best one of a baseline with its name."""
    from training.registry.gate import DECISIVE

    values = {model: each[DECISIVE] for model, each in metrics.items() if DECISIVE in each}
    own = values.pop(name, None)
    values.pop("champion", None)
    best = max(values, key=lambda model: values[model], default=None)
    return "–" if own is None else f"{own:.4f}", "–" if best is None else f"{values[best]:.4f} {best}"
