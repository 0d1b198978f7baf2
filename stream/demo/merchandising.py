"""A catalogue and rules for the demo, made from its invoices, so that the page has something to change."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from state.events.dates import DAY
from state.events.invoice import THOUSAND, Invoice
from state.events.rules import RULES_KEY, decode_rules, encode_rules
from state.settings import Settings
from stream.messages import Message

MAX_ITEMS = 500
"""Items of the catalogue: those that sell best."""
STOCK_DAYS = 28
"""The stock of an item is what it sold in this many days: invoices have no stock."""
MIN_CATEGORY = 5
"""Items that share the last word of their descriptions, for that word to be their category."""
CATEGORY = "category"


class DemoMerchandising(NamedTuple):
    """Item events by falling sales, and the document of rules."""

    items: list[dict[str, Any]]
    rules: dict[str, Any]

    @property
    def sentence(self) -> str:
        """What there is, for the console."""
        on = sum(rule.get("enabled", True) for rule in self.rules["rules"])
        return (
            f"A catalogue of {len(self.items):,} items and {len(self.rules['rules'])} rules, {on} of them switched on."
        )

    def messages(self, settings: Settings) -> list[Message]:
        """What goes to the topics of items and rules."""
        topics = settings.topics
        items = [Message(topics.items, item["stock_code"].encode(), msgspec.json.encode(item)) for item in self.items]
        return [*items, Message(topics.rules, RULES_KEY, encode_rules(decode_rules(msgspec.json.encode(self.rules))))]


def demo_merchandising(log: Sequence[Invoice]) -> DemoMerchandising:
    """The catalogue and the rules of a log of invoices, which ends where the replay begins.

    Prices and names are those of the newest sales. The category of an item is its attribute ``category``, else the last
    word of its description where enough items share it. One item that sells rarely is out of stock.

    The rules that are switched on change few lists, so that the figures of the replay are those of the model; the
    others are there to be switched on.
    """
    since = log[-1].date - STOCK_DAYS * DAY
    sold: Counter[str] = Counter()
    stock: Counter[str] = Counter()
    names: dict[str, str] = {}
    prices: dict[str, float] = {}
    categories: dict[str, str] = {}
    for invoice in log:
        for line in invoice.lines:
            if line.quantity <= 0:
                continue
            code = line.stock_code
            sold[code] += 1
            prices[code] = line.unit_price
            if invoice.date >= since:
                stock[code] += line.quantity // THOUSAND
            if line.description:
                names[code] = line.description
            if category := line.attributes.get(CATEGORY):
                categories[code] = category
    codes = [code for code, _ in sorted(sold.items(), key=lambda each: (-each[1], each[0]))[:MAX_ITEMS]]
    words = Counter(word for code in codes if (word := _last_word(names.get(code))))
    items = []
    for code in codes:
        item = {"stock_code": code, "name": names.get(code), "price": prices[code], "stock": max(1, stock[code])}
        word = _last_word(names.get(code))
        category = categories.get(code) or (word.title() if word and words[word] >= MIN_CATEGORY else None)
        items.append({key: value for key, value in {**item, CATEGORY: category}.items() if value is not None})
    if len(items) > 1:
        items[-1]["stock"] = 0
    return DemoMerchandising(items, _rules(items))


def _rules(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rules that fit the items: those about a category only where there is one."""
    categories = Counter(item[CATEGORY] for item in items if CATEGORY in item)
    rules: list[dict[str, Any]] = [
        {"kind": "cap", "name": "eight of a category", "most": 8},
        {"kind": "least_probability", "name": "one in ten thousand", "probability": 0.0001},
        {"kind": "cooldown", "name": "not again until it is due", "days": 14, "until_due": True, "enabled": False},
        {"kind": "only", "name": "only new items", "slot": "discover", "enabled": False},
        {"kind": "pin", "name": "best seller first", "stock_codes": [items[0]["stock_code"]], "enabled": False},
    ]
    if categories:
        ((largest, _),) = categories.most_common(1)
        filtered = {"categories": [[largest]]}
        rules += [
            {"kind": "boost", "name": f"more {largest}"[:64], "items": filtered, "factor": 3.0, "enabled": False},
            {"kind": "exclude", "name": f"without {largest}"[:64], "items": filtered, "enabled": False},
            {
                "kind": "promote",
                "name": f"a fifth is {largest}"[:64],
                "items": filtered,
                "share": 0.2,
                "enabled": False,
            },
        ]
    return {"version": 1, "rules": rules}


def _last_word(description: str | None) -> str | None:
    """The last word of a description, where it is one of letters."""
    words = (description or "").upper().split()
    return words[-1] if words and words[-1].isalpha() and len(words[-1]) > 2 else None
