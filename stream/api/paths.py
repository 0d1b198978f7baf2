"""Ids in paths: any text, slashes and line breaks included."""

from starlette.convertors import Convertor, register_url_convertor


class AnyText(Convertor[str]):
    """Matches any text. Starlette's ``path`` leaves out line breaks, which an id may hold."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """The text."""
        return value

    def to_string(self, value: str) -> str:
        """The text."""
        return value


register_url_convertor("id", AnyText())

CUSTOMER = "/v1/customers/{customer_id:id}"
ITEM = "/v1/items/{stock_code:id}"
"""The paths of a customer and of an item."""
