"""JSON Schemas of structs, for subscribers to validate against (docs/reference/events.md)."""

from inspect import cleandoc
from typing import Any

import msgspec


def struct_schema(struct: type[msgspec.Struct], title: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a struct; the descriptions are those of the classes."""
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(struct)))  # lists for the tuples of defaults
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])  # Python 3.13 has removed the indentation
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}
