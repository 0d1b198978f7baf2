"""Columns of an invoice table: their names here, which are those of the wire, and their names in foreign tables."""

from collections.abc import Iterable

from training.data.errors import MissingColumns

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
CODES = (INVOICE_NO, STOCK_CODE, CUSTOMER_ID, LINE_ID)
OF_ORDER = (INVOICE_NO, CUSTOMER_ID, INVOICE_DATE, COUNTRY)
"""Columns with one value for all lines of an invoice."""

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

ALIASES = {
    INVOICE_NO: (
        *("invoice_id", "invoice_number", "order_id", "order_no", "order_number", "transaction_id", "transaction_no"),
        *("basket_id", "receipt_id", "receipt_no", "receipt_number", "bill_no", "bill_id", "bill_number", "ticket_id"),
        *("ticket_no", "ticket_number", "sale_id", "sales_id", "check_no", "increment_id", "order"),
    ),
    STOCK_CODE: (
        *("item_id", "item_code", "item_no", "product_id", "product_code", "product_no", "article_id", "article_no"),
        *("sku", "item_sku", "product_sku", "variant_sku", "lineitem_sku"),
    ),
    DESCRIPTION: (
        *("item_description", "product_description", "item_name", "product_name", "lineitem_name", "product_title"),
        *("item", "product", "article"),
    ),
    QUANTITY: (
        *("qty", "units", "pieces", "lineitem_quantity", "qty_ordered", "quantity_ordered", "ordered_qty", "order_qty"),
        *("order_quantity", "item_quantity", "quantity_sold", "qty_sold", "units_sold", "quantity_refund"),
    ),
    INVOICE_DATE: (
        *("order_date", "transaction_date", "tran_date", "purchase_date", "date", "datetime", "timestamp"),
        *("transaction_timestamp", "order_timestamp", "transaction_dt", "t_dat", "order_datetime"),
        *("transaction_datetime", "order_purchase_timestamp", "purchase_timestamp", "sale_date", "sales_date"),
        *("receipt_date", "bill_date", "event_time", "event_timestamp", "event_date", "purchased_at", "ordered_at"),
        "created_at",
    ),
    UNIT_PRICE: (
        *("item_price", "product_price", "sales_price", "rate", "lineitem_price", "item_cost", "sale_price"),
        *("selling_price", "price_each", "price_per_unit"),
    ),
    CUSTOMER_ID: (
        *("customer_no", "customer_number", "cust_id", "client_id", "user_id", "member_id", "member_number"),
        *("household_id", "household_key", "customer_user_id", "visitor_id", "shopper_id", "buyer_id"),
        *("loyalty_id", "customer_email", "email", "billing_email", "email_billing"),
        "customer",  # last, as it may be a name
    ),
    LINE_ID: (
        *("line_no", "line_number", "line_nr", "line_item_id", "line_item_no", "line_item_number", "order_item_id"),
        *("order_item_no", "order_item_number", "order_line_id", "order_line_no", "order_line_number", "order_line"),
        *("order_detail_id", "invoice_line_id", "invoice_line_no", "invoice_line", "receipt_line", "receipt_line_no"),
        *("transaction_line_id", "transaction_line_no", "transaction_item_id", "basket_item_id", "scan_id", "scan_no"),
        *("position_no", "row_id", "detail_id", "item_line_no", "sequence_no", "seq_no", "line_seq"),
        *("line", "line_num", "line_item", "lineitem_no", "order_line_item_id", "order_line_item", "order_item"),
        *("invoice_line_number", "invoice_item_id", "invoice_line_item_id", "ticket_line", "ticket_line_id"),
        *("ticket_line_no", "receipt_line_id", "receipt_item_id", "transaction_line", "transaction_line_number"),
        *("sale_line_id", "sales_line_id", "sale_item_id", "sale_line", "sales_line_no", "item_line", "item_seq"),
        *("item_sequence", "line_sequence", "sequence", "sequence_number", "seq", "position", "position_number", "pos"),
        *("pos_no", "posnr", "positionsnr", "positionsnummer", "zeile", "zeilennr", "scan_number", "unit_id"),
        *(
            "unit_no",
            "piece_id",
            "serial_no",
            "serial_number",
            "row_no",
            "row_number",
            "line_uuid",
            "line_index",
            "uuid",
            "guid",
        ),
        "id",
    ),
}
"""Names of the columns in foreign tables, best first. Ambiguous ones, as ``amount`` (price or number), are left out."""


EVENT_COLUMNS = (
    *("event_type", "event", "event_name", "event_category", "action", "action_type", "activity", "activity_type"),
    *("behavior", "behaviour", "behavior_type", "behaviour_type", "interaction", "interaction_type", "user_action"),
    *("transaction_type", "record_type", "type", "sale_type", "sales_type", "order_type", "document_type", "doc_type"),
    *("status", "order_status", "financial_status", "payment_status", "transaction_status", "order_state"),
)
"""Names of a column that separates purchases from other rows."""

TILL_COLUMNS = (
    *("till", "till_id", "till_no", "till_number", "terminal", "terminal_id", "terminal_no", "register", "register_id"),
    *("register_no", "cash_register", "pos_id", "pos_terminal", "checkout_id", "store", "store_id", "store_no"),
    *("store_number", "store_code", "shop", "shop_id", "shop_no", "branch", "branch_id", "branch_no", "branch_code"),
    *("outlet", "outlet_id", "location", "location_id", "kasse", "kassennr", "filiale", "filialnr"),
)
"""Names of a column with the till or store that gave a receipt its number."""

TIME_COLUMNS = ("time", "time_of_day", "order_time", "transaction_time", "sale_time", "purchase_time", "invoice_time")
"""Names of a column with the time of day of the invoice date."""

MARK_COLUMNS = (
    *("cancelled_at", "canceled_at", "cancelled_on", "canceled_on", "cancelled_date", "cancellation_date"),
    *("cancelled", "canceled", "is_cancelled", "is_canceled", "voided", "is_void", "is_voided"),
    *("returned", "is_return", "is_returned", "refunded", "is_refund", "is_refunded", "returned_at", "refunded_at"),
)
"""Names of a column that marks the rows of what was cancelled or taken back."""

ROW_NUMBERS = frozenset({"", "unnamed0", "index", "level0", "indexlevel0", "rownames"})
"""Names of a column that numbers the rows of a file, as data frames write them: letters and digits only."""

TILL = "till"
"""Of typed rows: the till of a receipt, where the file has it."""

UNREAD = "unread_columns"
"""Of typed rows: a hash of the columns that are not read, where the file has such."""

GAPS = "gaps"
"""Of typed rows: how many of the columns that are not read have no value, where the file has such."""


def _normalised(name: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(character for character in name.lower() if character.isalnum())


_STANDARD = {_normalised(name): column for name, column in [*UCI.items(), *UCI_II.items(), *zip(ALL, ALL, strict=True)]}
_KNOWN = _STANDARD | {_normalised(name): column for column, names in ALIASES.items() for name in names}
_RANK = {name: rank for rank, name in enumerate(_KNOWN)}


def map_columns(header: Iterable[str]) -> dict[str, str]:
    """The columns that a header has: the column to its name in the header.

    Names are compared by their letters and digits, without case. Where several names may be one column, the standard
    names (the wire's and UCI's) come before the aliases, those in their order. ``Name`` is the order's among columns of
    line items (Shopify), the item's among those of Magento, and else unknown.
    """
    mapping: dict[str, str] = {}
    names = list(header)
    known = [name for name in names if _normalised(name) in _KNOWN]
    for name in sorted(known, key=lambda name: _RANK[_normalised(name)]):
        mapping.setdefault(_KNOWN[_normalised(name)], name)
    by_name = {_normalised(name): name for name in names}
    if "name" in by_name:
        if INVOICE_NO not in mapping and any(name.startswith("lineitem") for name in by_name):
            mapping[INVOICE_NO] = by_name["name"]  # Shopify's number of an order
        elif DESCRIPTION not in mapping and "sku" in by_name and "qtyordered" in by_name:
            mapping[DESCRIPTION] = by_name["name"]  # Magento's name of an item
    return mapping


def require_columns(header: Iterable[str], where: str = "The table") -> dict[str, str]:
    """``map_columns`` of a header that has all columns that are needed.

    Needed are customer, date, and stock code or description. A table with stock codes under a standard name holds
    invoice lines, so it needs invoice number, quantity and price as well.

    Args:
        header: Names of the columns.
        where: What the message calls the table.

    Raises:
        MissingColumns: A needed column is missing; the message lists the columns found and the names accepted.
    """
    names = list(header)
    mapping = map_columns(names)
    needed: tuple[str, ...] = (CUSTOMER_ID, INVOICE_DATE)
    if is_standard_name(mapping.get(STOCK_CODE, "")):
        needed = REQUIRED
    missing = [column for column in needed if column not in mapping]
    if STOCK_CODE not in mapping and DESCRIPTION not in mapping:
        missing.append(STOCK_CODE)
    if missing:
        found = ", ".join(" ".join(name.split())[:40] for name in names[:20])
        accepted = "; ".join(accepted_names(column) for column in missing)
        raise MissingColumns(
            f"{where} lacks {', '.join(missing)}: found {found or 'no columns'}. "
            f"Name the columns as one of these: {accepted}.",
            names,
        )
    return mapping


def find_event_columns(names: Iterable[str]) -> list[str]:
    """Those of some columns that may separate purchases from other rows, best first."""
    return _find(names, EVENT_COLUMNS)


def find_mark_columns(names: Iterable[str]) -> list[str]:
    """Those of some columns that may mark the rows of what was cancelled or taken back."""
    return _find(names, MARK_COLUMNS)


def find_till_column(names: Iterable[str]) -> str | None:
    """The first of some columns that may hold the till of a receipt."""
    return next(iter(_find(names, TILL_COLUMNS)), None)


def find_time_column(names: Iterable[str]) -> str | None:
    """The first of some columns that may hold the time of day of the invoice date."""
    return next(iter(_find(names, TIME_COLUMNS)), None)


def is_date_of_mark(name: str) -> bool:
    """Whether a column of ``MARK_COLUMNS`` holds when a row was marked, rather than whether."""
    return _normalised(name).endswith(("at", "on", "date"))


def is_status(name: str) -> bool:
    """Whether a column of ``EVENT_COLUMNS`` holds what became of an order, rather than the type of a row."""
    return _normalised(name).endswith(("status", "state"))


def _find(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those of some names that are known, in the order of the known ones."""
    ranks = {_normalised(name): rank for rank, name in enumerate(known)}
    return sorted((name for name in names if _normalised(name) in ranks), key=lambda name: ranks[_normalised(name)])


def numbers_rows(name: str) -> bool:
    """Whether a column has the name of one that numbers the rows of the file."""
    return _normalised(name) in ROW_NUMBERS


def is_standard_name(name: str) -> bool:
    """Whether a name is one of the wire's or of UCI's tables."""
    return _normalised(name) in _STANDARD


def is_known_name(name: str) -> bool:
    """Whether a text is the name of a column, standard or not."""
    return _normalised(name) in _KNOWN


def accepted_names(column: str) -> str:
    """The names under which a column is found, separated by commas."""
    standard = [name for name, known in [*UCI.items(), *UCI_II.items()] if known == column]
    return ", ".join(dict.fromkeys([column, *standard, *ALIASES.get(column, ())]))
