"""Names of the columns of an invoice table: ours, which are the wire's, and those of the published tables."""

INVOICE_NO = "invoice_no"
STOCK_CODE = "stock_code"
DESCRIPTION = "description"
QUANTITY = "quantity"
INVOICE_DATE = "invoice_date"
UNIT_PRICE = "unit_price"
CUSTOMER_ID = "customer_id"
COUNTRY = "country"
LINE_ID = "line_id"

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


def ours(published: str) -> str | None:
    """Our name of a published column, whatever its case, spaces and underscores; None for a column that is not read."""
    return _KNOWN.get(_squashed(published))


def _squashed(name: str) -> str:
    return name.replace(" ", "").replace("_", "").lower()


_KNOWN = {
    _squashed(published): name for published, name in [*UCI.items(), *UCI_II.items(), *zip(ALL, ALL, strict=True)]
}
