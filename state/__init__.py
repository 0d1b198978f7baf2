"""Who bought what: invoices in, histories and the state of items out, and what both sides need to know of them."""

from state.domain.history import (
    Basket,
    Count,
    CustomerHistory,
    HeldInvoice,
    HeldLine,
    Taken,
    add,
    baskets,
    canonical,
    line_text,
    take,
)
from state.domain.items import HALF_LIVES, SHARE_HALF_LIVES, ItemState, count, demand_at, observe, sell, shares_at
from state.domain.recommendation import Item, Model, NextPurchase, Reason, Recommendation, Trigger
from state.errors import InvalidEvent, SettingsError, StateError, StoreRefused, StoreUnavailable
from state.events.dates import DAY, to_datetime, to_iso, to_seconds
from state.events.dialect import Dialect, dialect_named, left_out
from state.events.invoice import THOUSAND, Invoice, Line
from state.settings import Settings, Topics, load_settings
from state.store.protocol import ApplyResult, CustomerUpdate, ItemChanges, PriorRecommendation, Store

__all__ = [
    "DAY",
    "HALF_LIVES",
    "SHARE_HALF_LIVES",
    "THOUSAND",
    "ApplyResult",
    "Basket",
    "Count",
    "CustomerHistory",
    "CustomerUpdate",
    "Dialect",
    "HeldInvoice",
    "HeldLine",
    "InvalidEvent",
    "Invoice",
    "Item",
    "ItemChanges",
    "ItemState",
    "Line",
    "Model",
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
    "Taken",
    "Topics",
    "Trigger",
    "add",
    "baskets",
    "canonical",
    "count",
    "demand_at",
    "dialect_named",
    "left_out",
    "line_text",
    "load_settings",
    "observe",
    "sell",
    "shares_at",
    "take",
    "to_datetime",
    "to_iso",
    "to_seconds",
]
