"""A refresher over the processor of a harness, with a clock that the test moves."""

from collections.abc import Callable, Mapping

from state.settings import Settings
from stream.pipeline.catalogue_changes import CatalogueChanges
from stream.pipeline.refresh import Refresher
from stream.pipeline.refresh_plan import Shard, decode_shard
from stream.pipeline.refresh_sender import Collaborators
from tests.unit.stream.harness import ProcessorHarness

PARTITIONS = 4


class MemoryProgress:
    """What the workers of a test share."""

    def __init__(self) -> None:
        self.shards: dict[int, bytes] = {}
        self.request = ""

    def load(self) -> dict[int, bytes]:
        return dict(self.shards)

    def save(self, shards: Mapping[int, bytes]) -> None:
        self.shards.update(shards)

    def asked(self) -> str:
        return self.request

    def shard(self, partition: int) -> Shard:
        found = decode_shard(self.shards[partition])
        assert found is not None
        return found


class RefreshHarness:
    """A worker that refreshes; ``run`` lets it work until there is nothing to do."""

    def __init__(self, worker: ProcessorHarness, progress: MemoryProgress | None = None, **settings: str) -> None:
        self.worker = worker
        self.progress = progress or MemoryProgress()
        self.seconds = 0.0
        self.rules = "0:"
        self.changes = CatalogueChanges()
        self.assigned = frozenset(range(PARTITIONS))
        self.clock_problem: str | None = None
        self.on_partition: Callable[[str], None] = lambda customer_id: None
        values = worker.settings.model_dump() | settings
        processor = worker.processor
        self.refresher = Refresher(
            Settings.model_validate(values),
            Collaborators(
                store=worker.store,
                items=processor.items,
                recommender=processor.recommender,
                publisher=processor.publisher,
                retry=processor._retry,
                progress=self.progress,
                changes=self.changes,
                partitions=lambda: PARTITIONS,
                partition_of=lambda customer_id, partitions: sum(customer_id.encode()) % partitions,
                model=lambda: f"counting/{worker.scorer.version}",
                rules=lambda: self.rules,
                now=lambda: int(worker.clock),
                fallback="fallback/1",
                clock_problem=lambda: self.clock_problem,
            ),
            worker.metrics,
            clock=lambda: worker.clock,
            monotonic=lambda: self.seconds,
        )

    def step(self) -> float:
        return self.refresher.step(self.assigned)

    def run(self, seconds: float = 60.0) -> None:
        """Step through so many seconds of checks, each of which may find something to do."""
        end = self.seconds + seconds
        while self.seconds < end:
            pause = self.step()
            self.seconds += max(pause, 0.001)
