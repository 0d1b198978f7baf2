"""Names of the columns of an invoice table: ours, which are the wire's, and what tables of others call them."""

from collections.abc import Iterable

INVOICE_NO = "invoice_no"
STOCK_CODE = "stock_code"
DESCRIPTION = "description"
QUANTITY = "quantity"
INVOICE_DATE = "invoice_date"
UNIT_PRICE = "unit_price"
CUSTOMER_ID = "customer_id"
COUNTRY = "country"
LINE_ID = "line_id"

DATE = "date"
"""Of cleaned lines: seconds since 1970."""

REQUIRED = (INVOICE_NO, STOCK_CODE, QUANTITY, INVOICE_DATE, UNIT_PRICE, CUSTOMER_ID)
OPTIONAL = (DESCRIPTION, COUNTRY, LINE_ID)
ALL = (*REQUIRED, *OPTIONAL)

UCI = {
    "InvoiceNo": INVOICE_NO,
    "StockCode": STOCK_CODE,
    "Description": DESCRIPTION,
    "Quantity": QUANTITY,
    "InvoiceDate": INVOICE_DATE,
    "UnitPrice": UNIT_PRICE,
    "CustomerID": CUSTOMER_ID,
    "Country": COUNTRY,
}
"""Columns of UCI Online Retail as published, in their order."""

UCI_II = {
    "Invoice": INVOICE_NO,
    "StockCode": STOCK_CODE,
    "Description": DESCRIPTION,
    "Quantity": QUANTITY,
    "InvoiceDate": INVOICE_DATE,
    "Price": UNIT_PRICE,
    "Customer ID": CUSTOMER_ID,
    "Country": COUNTRY,
}
"""Columns of UCI Online Retail II as published, in their order."""

OTHERS = {
    INVOICE_NO: (
        *("invoice_id", "invoice_number", "order_id", "order_no", "order_number", "transaction_id", "transaction_no"),
        *("basket_id", "receipt_id", "receipt_no", "bill_no"),
    ),
    STOCK_CODE: (
        *("item_id", "item_code", "item_no", "product_id", "product_code", "product_no", "article_id", "article_no"),
        "sku",
    ),
    DESCRIPTION: ("item_description", "product_description", "item_name", "product_name", "item", "product", "article"),
    QUANTITY: ("qty", "units", "pieces"),
    INVOICE_DATE: (
        *("order_date", "transaction_date", "tran_date", "purchase_date", "date", "datetime", "timestamp"),
        *("transaction_timestamp", "order_timestamp", "transaction_dt"),
    ),
    UNIT_PRICE: ("item_price", "product_price", "sales_price", "rate"),
    CUSTOMER_ID: (
        *("customer", "customer_no", "customer_number", "cust_id", "client_id", "user_id", "member_id"),
        *("member_number", "household_id", "household_key"),
    ),
}
"""What other tables call ours, best first. Not here: names that may mean a price as well as a number (``amount``)."""


def _squashed(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


_PROPER = {_squashed(theirs): name for theirs, name in [*UCI.items(), *UCI_II.items(), *zip(ALL, ALL, strict=True)]}
_KNOWN = _PROPER | {_squashed(theirs): name for name, names in OTHERS.items() for theirs in names}
_RANK = {theirs: rank for rank, theirs in enumerate(_KNOWN)}


def taken(published: Iterable[str]) -> dict[str, str]:
    """The columns that are read, ours to theirs; case and whatever is no letter or digit does not matter.

    Where several may be one of ours, our own and UCI's names come before others, those in their order.
    """
    found: dict[str, str] = {}
    known = [name for name in published if _squashed(name) in _KNOWN]
    for theirs in sorted(known, key=lambda name: _RANK[_squashed(name)]):
        found.setdefault(_KNOWN[_squashed(theirs)], theirs)
    return found


def is_standard_name(theirs: str) -> bool:
    """Whether a column is called as on the wire or in UCI's tables."""
    return _squashed(theirs) in _PROPER


def accepted_names(name: str) -> str:
    """What one of our columns may be called, in words."""
    proper = [theirs for theirs, ours in [*UCI.items(), *UCI_II.items()] if ours == name]
    return ", ".join(dict.fromkeys([name, *proper, *OTHERS.get(name, ())]))
