"""Invoices, customer histories, item demand and the stores that hold them; training and the stream both use it."""

from state.domain.history import (
    AddedInvoice,
    Basket,
    CustomerHistory,
    DemandChange,
    HeldInvoice,
    HeldLine,
    add_invoice,
    baskets,
    canonical_json,
    line_text,
)
from state.domain.items import (
    HALF_LIVES,
    SHARE_HALF_LIVES,
    ItemState,
    count_sale,
    demand_at,
    observe_sale,
    record_sale,
    shares_at,
)
from state.domain.recommendation import Item, ModelVersion, NextPurchase, Reason, Recommendation, Trigger
from state.errors import CustomerRefused, InvalidEvent, SettingsError, StateError, StoreRefused, StoreUnavailable
from state.events.dates import DAY, to_datetime, to_iso, to_seconds
from state.events.dialect import Dialect, dialect_named, exclusion_reason
from state.events.invoice import THOUSAND, Invoice, Line
from state.settings import Settings, Topics, load_settings
from state.store.protocol import ApplyResult, CustomerUpdate, ItemChanges, PriorRecommendation, Store

__all__ = [
    "DAY",
    "HALF_LIVES",
    "SHARE_HALF_LIVES",
    "THOUSAND",
    "AddedInvoice",
    "ApplyResult",
    "Basket",
    "CustomerHistory",
    "CustomerRefused",
    "CustomerUpdate",
    "DemandChange",
    "Dialect",
    "HeldInvoice",
    "HeldLine",
    "InvalidEvent",
    "Invoice",
    "Item",
    "ItemChanges",
    "ItemState",
    "Line",
    "ModelVersion",
    "NextPurchase",
    "PriorRecommendation",
    "Reason",
    "Recommendation",
    "Settings",
    "SettingsError",
    "StateError",
    "Store",
    "StoreRefused",
    "StoreUnavailable",
    "Topics",
    "Trigger",
    "add_invoice",
    "baskets",
    "canonical_json",
    "count_sale",
    "demand_at",
    "dialect_named",
    "exclusion_reason",
    "line_text",
    "load_settings",
    "observe_sale",
    "record_sale",
    "shares_at",
    "to_datetime",
    "to_iso",
    "to_seconds",
]
