"""The Compose file as Docker Compose reads it."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import dotenv
import yaml

ROOT = Path(__file__).parents[2]

Service = dict[str, Any]


def interpolate(part: Any, environ: dict[str, str]) -> Any:
    """``${NAME:-default}`` and ``${NAME:?message}`` in every value as Compose reads them; ``$$`` is a dollar sign."""
    if isinstance(part, dict):
        return {key: interpolate(value, environ) for key, value in part.items()}
    if isinstance(part, list):
        return [interpolate(value, environ) for value in part]
    if not isinstance(part, str):
        return part

    def value(match: re.Match[str]) -> str:
        if match["dollars"]:
            return "$"
        given = environ.get(match["name"], "")
        if given or match["operator"] == ":-":
            return given or match["rest"]
        raise KeyError(f"{match['name']}: {match['rest']}")

    pattern = r"(?P<dollars>\$\$)|\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?\}"
    return re.sub(pattern, value, part)


def read_compose(variables: dict[str, str]) -> Service:
    """The file with these variables of ``.env``."""
    loaded: Service = interpolate(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), variables)
    return loaded


def container_environment(service: str, dotenv_text: str) -> dict[str, str]:
    """The variables in a container of a service, for the text of ``.env``: those of ``environment`` override others."""
    variables = {name: value or "" for name, value in dotenv.dotenv_values(stream=StringIO(dotenv_text)).items()}
    found = read_compose(variables)["services"][service]
    files = [file["path"] for file in found.get("env_file", [])]
    assert files in ([], [".env"])
    given = {name: str(value) for name, value in found.get("environment", {}).items()}
    return (variables if files else {}) | given
