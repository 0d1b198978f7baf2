"""OpenAPI 3.1: schemas of the answers, from the types that encode them, and examples."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from stream.api import problems

TEMPLATE = "#/components/schemas/{name}"

DESCRIPTION = """Recommendations at the visit, ranked from the live history; invoices into Kafka.

Every error is a problem (RFC 9457) whose `detail` says what to do. 429 and 503 have `Retry-After`."""

PROBLEMS = {
    400: "A parameter or the body cannot be taken",
    401: "A key is needed",
    403: "The key lacks a scope",
    413: "The body is too large",
    429: "Too many requests",
    503: "A service does not answer now",
}


def answers(answer: type[msgspec.Struct], description: str, example: Any, **more: Any) -> dict[int | str, Any]:
    """The ``responses`` of a route: its answer with an example, and problems."""
    found: dict[int | str, Any] = {
        200: {
            "description": description,
            "content": {"application/json": {"schema": _reference(answer), "example": msgspec.to_builtins(example)}},
            **more,
        }
    }
    return found | problem_answers()


def problem_answers(statuses: Sequence[int] = tuple(PROBLEMS)) -> dict[int | str, Any]:
    """The ``responses`` of a route for problems."""
    content = {problems.MEDIA_TYPE: {"schema": _reference(problems.ProblemDetails)}}
    return {status: {"description": PROBLEMS[status], "content": content} for status in statuses}


def body(model: Any, example: Any) -> dict[str, Any]:
    """``openapi_extra`` of a route with a JSON body of a type."""
    schema = _reference(model) if isinstance(model, type) else model
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def _reference(model: type) -> dict[str, str]:
    return {"$ref": TEMPLATE.format(name=model.__name__)}


def document(app: FastAPI, types: Sequence[type]) -> dict[str, Any]:
    """The OpenAPI document of an application whose routes refer to ``types``."""
    made = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", description=DESCRIPTION, routes=app.routes
    )
    _, components = msgspec.json.schema_components([*types, problems.ProblemDetails], ref_template=TEMPLATE)
    held = made.setdefault("components", {})
    schemas = {name: one for name, one in held.get("schemas", {}).items() if "ValidationError" not in name}
    held["schemas"] = {**schemas, **components}
    held["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer nb_…"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    made["security"] = [{"bearer": []}, {"header": []}]
    for path in made["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # such errors are problems of status 400
    return made
