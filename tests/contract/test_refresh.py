"""What the refresh of recommendations needs of every store."""

from state import Invoice, Line, Store
from state.settings import Settings
from state.store.redis.refresh_progress import RedisRefreshProgress
from tests.contract.conftest import MakeStore, RedisStores
from tests.contract.events import AWKWARD, recommendation

CLOCK = 1_700_000_000_000
DAY = 86_400


def buy(store: Store, customer: str, number: str, clock_ms: int = CLOCK) -> int:
    """The revision after a purchase."""
    invoice = Invoice(number, customer, 100 + int(number), (Line("A", 1_000, 2.0, "ITEM A"),))
    return store.apply([invoice], clock_ms=clock_ms).updates[0].revision


def test_a_snapshot_has_the_history_the_revisions_and_the_recommendation(store: Store) -> None:
    for customer in (*AWKWARD, "c"):
        buy(store, customer, "1")
    sent = recommendation("c", CLOCK)
    store.confirm([sent])
    *awkward, known, unknown = store.snapshots([*AWKWARD, "c", "nobody"])
    assert known is not None
    assert (known.history, known.revision, known.published, known.last) == (store.history("c"), CLOCK, CLOCK, sent)
    assert unknown is None
    assert [each and (each.history.customer_id, each.published, each.last) for each in awkward] == [
        (customer, 0, None) for customer in AWKWARD
    ]
    assert store.snapshots([]) == []


def test_a_revision_is_raised_only_where_the_history_did_not_change(store: Store) -> None:
    for customer in ("a", "b", "c"):
        buy(store, customer, "1")
    buy(store, "b", "2")  # after the revision was read
    reserved = store.reserve([("a", CLOCK), ("b", CLOCK), ("nobody", CLOCK), ("c", CLOCK)], clock_ms=CLOCK + 50)
    assert reserved == [CLOCK + 50, None, None, CLOCK + 50]
    assert store.revisions(["a", "b", "c"]) == [CLOCK + 50, CLOCK + 1, CLOCK + 50]
    assert store.reserve([("a", CLOCK + 50)], clock_ms=CLOCK) == [CLOCK + 51], "it rises also where the clock does not"


def test_a_reserved_recommendation_is_pending_until_it_is_confirmed(store: Store) -> None:
    revision = buy(store, "c", "1")
    store.confirm([recommendation("c", revision)])
    (reserved,) = store.reserve([("c", revision)], clock_ms=CLOCK + 50)
    assert reserved is not None
    (snapshot,) = store.snapshots(["c"])
    assert snapshot is not None
    assert (snapshot.revision, snapshot.published) == (reserved, revision)
    newer = buy(store, "c", "2")
    assert newer > reserved
    store.confirm([recommendation("c", newer, "B")])
    store.confirm([recommendation("c", reserved, "A")])  # comes too late
    assert store.recommendation("c") == recommendation("c", newer, "B")


def test_a_recommendation_is_withdrawn_only_where_the_history_did_not_change(store: Store) -> None:
    for customer in ("a", "b"):
        store.confirm([recommendation(customer, buy(store, customer, "1"))])
    newer = buy(store, "b", "2")
    store.withdraw([("a", CLOCK), ("b", CLOCK), ("nobody", CLOCK)])
    assert store.recommendation("a") is None
    assert store.recommendation("b") is not None
    # An invoice after that is not scored against it.
    third = Invoice("3", "a", 200, (Line("A", 1_000, 2.0, "ITEM A"),))
    assert store.apply([third], clock_ms=CLOCK).updates[0].priors == []
    assert newer == store.revisions(["b"])[0]


def test_a_snapshot_shows_when_the_history_expires(redis_stores: MakeStore) -> None:
    store = redis_stores(history_ttl_days=2)
    buy(store, "c", "1")
    (snapshot,) = store.snapshots(["c"])
    assert snapshot is not None
    assert snapshot.expires_in is not None
    assert 2 * DAY - 60 < snapshot.expires_in <= 2 * DAY
    for_ever = redis_stores(history_ttl_days=0)
    buy(for_ever, "c", "1")
    (snapshot,) = for_ever.snapshots(["c"])
    assert snapshot is not None
    assert snapshot.expires_in is None


def test_the_progress_of_each_partition_is_stored(redis_stores: RedisStores) -> None:
    redis_stores()
    progress = RedisRefreshProgress(Settings(redis_url=redis_stores.url, namespace=redis_stores.namespace))
    assert (progress.load(), progress.asked()) == ({}, "")
    progress.save({0: b"x", 11: b"\xff"})
    progress.save({0: b"y"})
    progress.ask("2011-12-09T12:50:00Z")
    assert (progress.load(), progress.asked()) == ({0: b"y", 11: b"\xff"}, "2011-12-09T12:50:00Z")
    progress.close()
