"""The keys, and the encodings of items and recommendations, in Redis (docs/reference/state.md)."""

from functools import cache
from itertools import count
from typing import Any
from urllib.parse import unquote_to_bytes
from zlib import crc32

import msgspec
from redis.crc import key_slot

from state.domain.attributes import NO_DATED_ATTRIBUTES
from state.domain.items import SHARE_HALF_LIVES, ItemState
from state.domain.recommendation import Recommendation
from state.events.shop_dialect import ShopDialect

DUE_SHARDS = 1_024
"""Hashes of the index of who is due: 1,000 customers in each of a million, which Redis reads in 2 ms."""


ITEM_BUCKETS = 12
"""Into which a Cluster divides the items: 1, 2, 3, 4, 6 or 12 nodes with equally many slots have equally many."""
_SLOTS = 16_384


@cache
def bucket_tags() -> tuple[str, ...]:
    """A hash tag for each bucket of items, whose slots are about as far from each other as they can be."""
    found: dict[int, str] = {}
    for number in count():
        bucket, position = divmod(key_slot(b"items%d" % number) * ITEM_BUCKETS / _SLOTS, 1)
        if abs(position - 0.5) < 0.125:
            found.setdefault(int(bucket), f"items{number}")
        if len(found) == ITEM_BUCKETS:
            return tuple(found[bucket] for bucket in range(ITEM_BUCKETS))
    raise AssertionError


class ItemKeys:
    """The names of the keys of some items, all in one slot: those of a shop, or of a bucket on a Cluster."""

    def __init__(self, prefix: str) -> None:
        self.state = f"{prefix}:state"
        self.changed = f"{prefix}:changed"
        self.version = f"{prefix}:version"
        self.now = f"{prefix}:now"
        self._done = f"{prefix}:done:"

    @property
    def in_order(self) -> list[str]:
        """The keys without markers, as the scripts expect them."""
        return [self.state, self.changed, self.version, self.now]

    def done(self, customer_id: str) -> str:
        """The last sequence of the outbox that was applied to these items."""
        return f"{self._done}{_escape(customer_id)}"


class Keys:
    """The names of the keys. Braces are hash tags of Redis Cluster: one slot for each customer, and for each bucket.

    Attributes:
        items: Of all items of a single server. On a Cluster ``state`` holds the number of buckets, and the others what
            a version without buckets left.
        buckets: Of each bucket of items of a Cluster.
    """

    def __init__(self, prefix: str) -> None:
        self._history = f"{prefix}h:"
        self._recommendation = f"{prefix}r:"
        self._outbox = f"{prefix}o:"
        self._part = f"{prefix}part:"
        self._due_index = f"{prefix}due-index:"
        self._sent_due = f"{prefix}due:"
        self.items = ItemKeys(f"{prefix}{{items}}")
        self.buckets = tuple(ItemKeys(f"{prefix}{{{tag}}}") for tag in bucket_tags())
        self.letters = f"{prefix}{{items}}:letters"
        self.run = f"{prefix}{{items}}:run"
        self.parts = f"{prefix}{{items}}:parts"
        self.dialect = f"{prefix}{{items}}:dialect"
        self.customers = f"{prefix}{{items}}:customers"
        self.all_sent_due = f"{self._sent_due}{{*"
        self.refresh_shards = f"{prefix}{{refresh}}:shards"
        self.refresh_asked = f"{prefix}{{refresh}}:asked"
        self.all_histories = f"{self._history}{{*"
        self.all_outboxes = f"{self._outbox}{{*"
        self.all_done = f"{prefix}{{items*}}:done:*"
        self.all_recommendations = f"{self._recommendation}{{*"

    @property
    def probes(self) -> list[str]:
        """A key of each kind that the scripts write, of the empty customer id, which no event has."""
        return [
            self.history(""),
            self.recommendation(""),
            self.outbox(""),
            self.items.done(""),
            f"{self._due_index}{{}}",
        ]

    def history(self, customer_id: str) -> str:
        """The customer's history, a hash."""
        return f"{self._history}{{{_escape(customer_id)}}}"

    def recommendation(self, customer_id: str) -> str:
        """The last confirmed recommendation, JSON."""
        return f"{self._recommendation}{{{_escape(customer_id)}}}"

    def outbox(self, customer_id: str) -> str:
        """The changes that are not applied to the items yet, a sorted set."""
        return f"{self._outbox}{{{_escape(customer_id)}}}"

    def sent_due(self, day: str) -> str:
        """The customers that were published as due for a day and window, a set in the slot of that day."""
        return f"{self._sent_due}{{{day}}}"

    def due_index(self, shard: int) -> str:
        """A shard of the index of who is due, a hash in a separate slot."""
        return f"{self._due_index}{{{shard:04d}}}"

    @property
    def due_complete(self) -> str:
        """Whether every customer is in the index of who is due."""
        return f"{self._due_index}complete"

    def part(self, tag: str) -> str:
        """The mark of a part of a Cluster, of which a tag is given."""
        return f"{self._part}{{{tag}}}"

    def customer(self, history_key: bytes) -> str:
        """The customer of a history's key."""
        return _customer(history_key, self._history)

    def customer_of_outbox(self, outbox_key: bytes) -> str:
        """The customer of an outbox's key."""
        return _customer(outbox_key, self._outbox)


def due_shard(customer_id: str) -> int:
    """The shard of a customer in the index of who is due."""
    return crc32(customer_id.encode()) % DUE_SHARDS


def item_bucket(stock_code: str) -> int:
    """The bucket of an item on a Cluster."""
    return crc32(stock_code.encode()) % ITEM_BUCKETS


def _customer(key: bytes, prefix: str) -> str:
    return unquote_to_bytes(key[len(prefix.encode()) + 1 : -1]).decode()


def _escape(customer_id: str) -> str:
    """A customer id without braces, which would end the hash tag early."""
    return customer_id.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")


class _Item(msgspec.Struct, array_like=True):
    as_of: int
    demand: tuple[float, ...]
    sold: int
    first: int
    last: int
    price: float
    price_date: int
    description: str
    description_date: int
    shares: tuple[float, ...] = (0.0,) * len(SHARE_HALF_LIVES)  # missing in entries written by versions without shares
    attributes: dict[str, tuple[int, str]] = {}


_MAX_DIGITS = 20
"""Of a whole number, its sign included."""

pack = msgspec.msgpack.Encoder().encode
read_recommendation = msgspec.json.Decoder(Recommendation).decode
read_dialect = msgspec.json.Decoder(ShopDialect).decode
write_dialect = msgspec.json.Encoder().encode
write_recommendation = msgspec.json.Encoder().encode
read_codes = msgspec.msgpack.Decoder(list[str]).decode
_read_item = msgspec.msgpack.Decoder(_Item).decode


def read_number(raw: bytes) -> int:
    """A whole number from its digits.

    Raises:
        msgspec.DecodeError: It is none, or one that this program never writes.
    """
    try:
        if len(raw) <= _MAX_DIGITS:
            return int(raw)
    except ValueError:
        pass
    raise msgspec.DecodeError(f"{raw[:_MAX_DIGITS]!r} is no whole number")


def read_item(stock_code: str, packed: bytes) -> ItemState:
    """An item's state from its packed form."""
    item = _read_item(packed)
    return ItemState(
        stock_code=stock_code,
        as_of=item.as_of,
        demand=item.demand,
        sold=item.sold,
        first=item.first,
        last=item.last,
        price=item.price,
        price_date=item.price_date,
        description=item.description or None,
        description_date=item.description_date,
        shares=item.shares,
        dated_attributes=(
            {key: item.attributes[key] for key in sorted(item.attributes)} if item.attributes else NO_DATED_ATTRIBUTES
        ),
    )


def write_item(item: ItemState) -> tuple[Any, ...]:
    """An item's state as the scripts have it; its attributes are left out where there are none."""
    attributes = (dict(item.dated_attributes),) if item.dated_attributes else ()
    return (
        item.as_of,
        item.demand,
        item.sold,
        item.first,
        item.last,
        item.price,
        item.price_date,
        item.description or "",
        item.description_date,
        item.shares,
        *attributes,
    )
