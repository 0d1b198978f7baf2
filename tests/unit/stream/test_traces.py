"""What is held of a customer elsewhere than in the store, and is forgotten with the customer."""

from collections.abc import Mapping, Sequence

import msgspec

from stream.messages import Message
from stream.pipeline.refresh_plan import Shard, Target, Walk, decode_shard, encode_shard
from stream.tools.traces import forget_letters, forget_progress


class MemorySpool:
    """Letters set aside."""

    def __init__(self, letters: Mapping[str, bytes]) -> None:
        self.letters = dict(letters)

    def put(self, letters: Mapping[str, bytes]) -> bool:
        self.letters |= letters
        return True

    def first(self, count: int) -> dict[str, bytes]:
        return dict(list(self.letters.items())[:count])

    def drop(self, positions: Sequence[str]) -> None:
        for position in positions:
            del self.letters[position]

    def count(self) -> int:
        return len(self.letters)


class MemoryProgress:
    """Progress of refreshes."""

    def __init__(self, shards: Mapping[int, Shard]) -> None:
        self.shards = {number: encode_shard(shard) for number, shard in shards.items()}

    def load(self) -> dict[int, bytes]:
        return dict(self.shards)

    def save(self, shards: Mapping[int, bytes]) -> None:
        self.shards |= shards

    def asked(self) -> str:
        return ""


def test_letters_of_the_customer_are_dropped_by_key_and_by_value_and_no_others() -> None:
    letters = {
        "by key": Message("dead", b"anna", b"no JSON"),
        "by value": Message("dead", None, b'{"CustomerID": "anna", "Quantity": "x"}'),
        "in text": Message("dead", None, b"broken;anna;1"),
        "of another": Message("dead", b"annabel", b'{"customer_id": "annabel"}'),
        "without a value": Message("dead", None, None),
    }
    spool = MemorySpool({name: msgspec.msgpack.encode(letter) for name, letter in letters.items()})
    finding = forget_letters(spool, "anna")
    assert (finding.found, finding.removed) == (3, 3)
    assert set(spool.letters) == {"of another", "without a value"}


def test_a_refresh_that_stopped_at_the_customer_begins_again() -> None:
    target = Target(model="m", rules="1", day="", asked="")
    walks = {
        number: Walk(cause="daily", target=target, catalogue={}, partitions=2, began=0.0, position=name, done=7)
        for number, name in enumerate(("anna", "ben"))
    }
    progress = MemoryProgress({number: Shard(target, {}, walk) for number, walk in walks.items()})
    assert forget_progress(progress, "anna").removed == 1
    found = [decode_shard(packed) for packed in progress.shards.values()]
    assert [one.walk.position for one in found if one is not None and one.walk is not None] == ["", "ben"]
