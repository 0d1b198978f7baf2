"""OpenAPI 3.1: schemas of the answers, from the types that encode them, and examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from stream.api import problems

TEMPLATE = "#/components/schemas/{name}"

DESCRIPTION = """Recommendations at the visit, ranked from the live history; invoices into Kafka.

Every error is a problem (RFC 9457) whose `detail` contains what to do. 429 and 503 have `Retry-After`."""

PROBLEMS = {
    400: "A parameter or the body cannot be taken",
    401: "A key is needed",
    403: "The key lacks a scope",
    404: "There is no such thing",
    408: "The body does not come",
    409: "The server cannot do this as it is set up",
    412: "The rules have changed since they were read",
    413: "The body is too large",
    414: "The address is too long",
    415: "The body is not JSON",
    429: "Too many requests",
    503: "A service does not answer now",
}

USUAL = (400, 401, 403, 414, 429, 503)


def answers(
    answer: type[msgspec.Struct], description: str, example: Any, *, not_found: bool = False, body: bool = False
) -> dict[int | str, Any]:
    """The ``responses`` of a route: its answer with an example, and problems; ``body``: those of a body too."""
    found: dict[int | str, Any] = {
        200: {
            "description": description,
            "content": {"application/json": {"schema": reference(answer), "example": msgspec.to_builtins(example)}},
        }
    }
    more = (*((404,) if not_found else ()), *((408, 413, 415) if body else ()))
    return found | problem_answers((*USUAL, *more))


def problem_answers(statuses: Sequence[int] = USUAL) -> dict[int | str, Any]:
    """The ``responses`` of a route for problems."""
    content = {problems.MEDIA_TYPE: {"schema": reference(problems.ProblemDetails)}}
    return {status: {"description": PROBLEMS[status], "content": content} for status in statuses}


def reference(model: type) -> dict[str, str]:
    """The schema of a type, by its name."""
    return {"$ref": TEMPLATE.format(name=model.__name__)}


def document(
    app: FastAPI, routers: Sequence[APIRouter], types: Sequence[type], schemas: Mapping[str, Any]
) -> dict[str, Any]:
    """The OpenAPI document of an application; its routers refer to ``types``, and to further schemas by name."""
    made = get_openapi(
        title=app.title, version=app.version, openapi_version="3.1.0", description=DESCRIPTION, routes=app.routes
    )
    _, components = msgspec.json.schema_components([*types, problems.ProblemDetails], ref_template=TEMPLATE)
    held = made.setdefault("components", {})
    of_parameters = {name: one for name, one in held.get("schemas", {}).items() if "ValidationError" not in name}
    held["schemas"] = {**of_parameters, **components, **schemas}
    held["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer nb_…"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    made["security"] = [{"bearer": []}, {"header": []}, {}]  # none where there are no keys
    _restore_examples(routers, made)
    for path in made["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # such errors are problems of status 400
    return made


def _restore_examples(routers: Sequence[APIRouter], made: dict[str, Any]) -> None:
    """Put the answers of the routes in once more: FastAPI leaves null out of examples."""
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                described = made["paths"][route.path_format][method.lower()]["responses"]
                described.update({str(status): answer for status, answer in route.responses.items()})
