"""The rights of each command, read from the page that documents them."""

import re
from pathlib import Path

from tests.services.secured import Right

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "secure-kafka-and-redis.md"
_CLAUSE = re.compile(r"(?P<operation>\w+) on (?P<kind>topic|group|transactional id) (?P<names>(?:`[^`]+` ?)+)")
_OPERATIONS = {
    "Read": "READ",
    "Write": "WRITE",
    "Create": "CREATE",
    "Delete": "DELETE",
    "Describe": "DESCRIBE",
    "DescribeConfigs": "DESCRIBE_CONFIGS",
}
_KINDS = {"topic": "TOPIC", "group": "GROUP", "transactional id": "TRANSACTIONAL_ID"}


def kafka_rights(namespace: str) -> dict[str, set[Right]]:
    """By command, as the page writes it without back quotes."""
    return {command: _rights(cell, namespace) for command, cell in _rows("## Rights in Kafka").items()}


def redis_rights() -> dict[str, list[str]]:
    """By command: the rules ``+command`` of ``ACL SETUSER``."""
    return {command: cell.replace("\\|", "|").split() for command, cell in _rows("## Rights in Redis").items()}


def _rights(cell: str, namespace: str) -> set[Right]:
    rights = set()
    for clause in cell.split("; "):
        match = _CLAUSE.fullmatch(clause.strip())
        assert match, f"{PAGE.name}: {clause!r} is not of the form 'Read on topic `a` `b`'"
        for name in re.findall("`([^`]+)`", match["names"]):
            rights.add((_OPERATIONS[match["operation"]], _KINDS[match["kind"]], f"{namespace}.{name}"))
    return rights


def _rows(heading: str) -> dict[str, str]:
    section = PAGE.read_text(encoding="utf-8").partition(f"{heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)[1:]
    assert rows, f"{PAGE.name} has no table under {heading}"
    return {command.replace("`", ""): cell for command, cell in rows}
