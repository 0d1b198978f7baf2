"""How far the refresh of recommendations is, over all partitions."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from state.events.dates import to_iso
from state.wording import count
from stream.pipeline.refresh_plan import Cause, Shard, decode_shard

NO_RECORD = "No worker has recorded a refresh yet: workers do when they start."


class RefreshStatus(NamedTuple):
    """The records of all partitions.

    Attributes:
        shards: By partition, in its order; those that can be read.
        total: Customers of the partitions in progress, as far as they are counted.
        done: Those of them that are done.
        sent: Recommendations that were sent in the refreshes in progress.
    """

    shards: dict[int, Shard]
    total: int
    done: int
    sent: int

    def waiting(self, request: str) -> list[int]:
        """The partitions that did not reach a request yet."""
        return [partition for partition, shard in self.shards.items() if shard.reached.asked < request]

    def sent_for(self, request: str) -> int:
        """Recommendations that were sent for a request, in the partitions that reached it and those in progress."""
        return sum(
            shard.finished.sent
            if shard.reached.asked >= request and shard.finished is not None
            else shard.walk.sent
            if shard.walk is not None and shard.walk.target.asked >= request
            else 0
            for shard in self.shards.values()
        )


def next_request(now: datetime, previous: str) -> str:
    """A request for a refresh: the time, or just after the previous request where this clock is behind that one's.

    Workers refresh for a request that is greater than the one they reached.
    """
    if previous:
        now = max(now, datetime.fromisoformat(previous) + timedelta(milliseconds=1))
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def refresh_status(stored: Mapping[int, bytes]) -> RefreshStatus:
    """The status from what is stored for each partition."""
    found = {partition: decode_shard(stored[partition]) for partition in sorted(stored)}
    shards = {partition: shard for partition, shard in found.items() if shard is not None}
    walks = [shard.walk for shard in shards.values() if shard.walk is not None]
    return RefreshStatus(
        shards,
        total=sum(walk.total for walk in walks),
        done=sum(walk.done for walk in walks),
        sent=sum(walk.sent for walk in walks),
    )


def describe(status: RefreshStatus) -> list[str]:
    """One line for all partitions in progress, and one for each cause and day of what was finished last."""
    if not status.shards:
        return [NO_RECORD]
    lines = []
    walks = {partition: shard.walk for partition, shard in status.shards.items() if shard.walk is not None}
    if walks:
        causes = ", ".join(sorted({walk.cause for walk in walks.values()}))
        lines.append(
            f"Refreshing {count(len(walks), 'partition')} of {len(status.shards)} ({causes}): "
            f"{status.done:,} of {count(status.total, 'customer')}, {status.sent:,} sent."
        )
    ended: dict[Cause, list[tuple[float, int, int]]] = {}
    for shard in status.shards.values():
        if (finished := shard.finished) is not None:
            ended.setdefault(finished.cause, []).append((finished.ended, finished.customers, finished.sent))
    for cause, rows in sorted(ended.items(), key=lambda item: -max(item[1])[0]):
        customers, sent = sum(row[1] for row in rows), sum(row[2] for row in rows)
        lines.append(
            f"Last of {count(len(rows), 'partition')}: {cause}, ended {to_iso(int(max(rows)[0]))}, "
            f"{count(customers, 'customer')}, {sent:,} sent."
        )
    return lines or [f"{count(len(status.shards), 'partition')} up to date; nothing was refreshed yet."]
