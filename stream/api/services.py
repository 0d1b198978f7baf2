"""What the routes use, built by ``stream.api.server`` and by tests."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from state.domain.rules import Merchandising
from state.settings import Settings
from stream.api.access import Access
from stream.api.due_lists import DueQuestion, TaggedAnswer
from stream.api.etags import Versions
from stream.api.feed import Feed
from stream.api.ingestion import InvoiceBody, Receipt
from stream.api.letters import DeadLetterAccess
from stream.api.lookups import Question
from stream.api.micro_batches import MicroBatcher
from stream.api.ranking import Inspection
from stream.api.visits import VisitQuery
from stream.health import Health
from stream.messages import Message
from stream.monitoring import Metrics
from stream.pipeline.tracing import Tracing
from training.registry import Registry
from training.serving.scorer import Scorer


class Services(NamedTuple):
    """The services of one process; ``feed``, ``letters`` and ``lag`` are None where no broker is set.

    ``ranking`` answers queries and ``revisions`` reads the revisions of histories, each in a separate thread, so that
    no 304 waits for a model. ``ingestion`` takes bodies with invoices. ``versions`` is what a list would be made from.
    ``stock_code``: the canonical form of a stock code.
    """

    settings: Settings
    access: Access
    metrics: Metrics
    health: Health
    ranking: MicroBatcher[VisitQuery | Inspection, Any]
    revisions: MicroBatcher[str, int]
    lookups: MicroBatcher[Question, Any]
    due: MicroBatcher[DueQuestion, TaggedAnswer]
    ingestion: MicroBatcher[InvoiceBody | tuple[Message, ...], Receipt]
    feed: Feed | None
    scorer: Callable[[], Scorer]
    merchandising: Callable[[], Merchandising]
    versions: Callable[[], Versions]
    stock_code: Callable[[str], str]
    registry: Registry
    letters: DeadLetterAccess | None
    lag: Callable[[], dict[int, int]] | None
    refresh: Callable[[], Mapping[int, bytes]] = dict
    """What the workers have recorded of the refresh of each partition."""
    can_erase: bool = False
    """Whether there is an erasure key."""
    tracing: Tracing = Tracing()
