"""The OpenAPI document: every path, and examples that fit their schemas."""

from typing import Any

from jsonschema import Draft202012Validator

from stream.api.app import create_app
from tests.unit.api.shop import Shop


def document() -> dict[str, Any]:
    return create_app(Shop().services()).openapi()


def contents(node: Any) -> list[dict[str, Any]]:
    """Every object with a schema and an example."""
    if isinstance(node, list):
        return [found for each in node for found in contents(each)]
    if not isinstance(node, dict):
        return []
    here = [node] if "example" in node and "schema" in node else []
    return here + [found for each in node.values() for found in contents(each)]


def test_it_is_openapi_3_1_with_every_route() -> None:
    made = document()
    assert made["openapi"].startswith("3.1")
    routes = {f"{method.upper()} {path}" for path, methods in made["paths"].items() for method in methods}
    assert routes >= {
        "GET /v1/customers/{customer_id}/recommendations",
        "POST /v1/customers/{customer_id}/recommendations",
        "GET /v1/recommendations",
        "POST /v1/recommendations/batch",
        "GET /v1/recommendations/stream",
        "GET /v1/customers/{customer_id}",
        "GET /v1/items/{stock_code}",
        "GET /v1/items/{stock_code}/similar",
        "GET /v1/due",
        "POST /v1/invoices",
    }


def test_every_example_fits_its_schema() -> None:
    made = document()
    found = contents(made["paths"])
    assert len(found) > 10
    for content in found:
        schema = {**content["schema"], "components": made["components"]}
        Draft202012Validator(schema).validate(content["example"])


def test_every_reference_leads_to_a_schema() -> None:
    made = document()
    schemas = made["components"]["schemas"]

    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [found for each in node for found in references(each)]
        if not isinstance(node, dict):
            return []
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [found for each in node.values() for found in references(each)]

    names = {reference.removeprefix("#/components/schemas/") for reference in references(made)}
    assert names <= set(schemas)
    assert names >= {"VisitRecommendation", "ProblemDetails", "InvoiceEvent"}
