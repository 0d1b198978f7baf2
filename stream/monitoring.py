"""Metrics for Prometheus (docs/reference/metrics.md); an entry point serves them over HTTP where a port is set."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

NAMESPACE = "nextbasket"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The worker's metrics. Callers use the methods; the names and labels of the metrics are in this class only."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace=NAMESPACE, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, namespace=NAMESPACE, registry=self.registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, namespace=NAMESPACE, registry=self.registry)

        self._events = counter("events", "Events processed")
        self._dead_letters = counter("dead_letters", "Events dead-lettered", "cause")
        self._letters_usable = gauge("dead_letter_topic_usable", "1 while the dead-letter topic can take letters")
        self._letters_aside = gauge("dead_letters_set_aside", "Dead letters set aside in Redis")
        self._anonymous = counter("anonymous_events", "Events without a customer, skipped")
        self._erased_events = counter("erased_events", "Events of erased customers, passed over")
        self._customer_changes = counter("customer_changes", "Customers merged or erased", "change")
        self._lines = counter("lines", "Lines: new, known, behind, or the reason why they were excluded", "fate")
        self._recommendations = counter("recommendations", "Recommendations: sent, or unchanged and not sent", "fate")
        self._scores = counter("scores", "Recommendations scored against the invoice that followed")
        self._hits = counter("score_hits", "Scores with a hit among the first 10")
        self._fallbacks = counter("fallback_predictions", "Customers that the model failed for")
        self._unreadable_headers = counter("unreadable_headers", "Events with a header name that is not UTF-8")
        self._outage_seconds = counter(
            "outage_seconds", "Time spent waiting for a service that was unavailable", "service"
        )
        for service in (
            "Redis",
            "Kafka",
            "clock",
            "dead-letter topic",
        ):  # 0 from the start, so that a rate exists when an outage begins
            self._outage_seconds.labels(service)
        self._events_lost = counter("events_lost", "Events that Kafka deleted before they were read")
        self._made_again = counter("topics_made_again", "Times that the topic of invoices was deleted and made again")
        self._resets = counter("partition_resets", "Partitions that ended before the offset that was read last")
        self._redis_losses = counter("redis_losses", "Times that Redis lost data while workers ran")
        self._evicted = counter("redis_evicted_keys", "Keys that Redis evicted while workers ran")
        self._clock_difference = gauge(
            "clock_difference_seconds", "How far a witness is ahead of the clock of this machine", "witness"
        )
        self._evicts = gauge("redis_evicts", "1 while Redis has an eviction policy, so that histories may vanish")
        self._batch = histogram("batch_events", "Events in a batch", SIZES)
        self._stage = histogram("stage_seconds", "Time of each stage of a batch", SECONDS, "stage")
        self._event_stage = counter(
            "event_stage_seconds", "Time that events spent in each stage, summed over events", "stage"
        )
        self._latency = histogram(
            "latency_seconds", "From an event's timestamp to its confirmed recommendation", SECONDS
        )
        self._requests = counter("http_requests", "Requests of the API", "route", "status")
        self._request_seconds = histogram("http_request_seconds", "From a request to its answer", SECONDS, "route")
        self._streams = gauge("http_streams", "Open live streams of the API")
        self._lag = gauge("lag_events", "Events not yet processed", "partition")
        self._model = gauge("model_info", "1 for the model in use", "name", "version")
        self._swaps = counter("model_swaps", "Models loaded from the registry")
        self._refused = counter("models_refused", "Bundles refused")
        self._catalogue_items = gauge("catalogue_items", "Items of the catalogue")
        self._rule_items = counter(
            "rule_items", "Items that the catalogue or a rule removed from a list, or placed in it", "kind"
        )
        self._rules_version = gauge("rules_version", "Version of the rules in force")
        self._refreshed = counter("refreshed_customers", "Customers of a refresh, by what happened", "outcome")
        self._refreshed_partitions = counter("refreshed_partitions", "Partitions that were refreshed", "cause")
        self._refresh_remaining = gauge("refresh_remaining_customers", "Customers that are still to be refreshed")
        self._refresh_seconds = counter("refresh_seconds", "Time of the processor that refreshes took")

    def batch(self, events: int) -> None:
        """Count a processed batch of so many events."""
        self._events.inc(events)
        self._batch.observe(events)

    def latency(self, seconds: float) -> None:
        """Record the seconds from an event's timestamp to the confirmation of its recommendation."""
        self._latency.observe(max(0.0, seconds))

    def dead_letter(self, cause: str, events: int = 1) -> None:
        """Count dead-lettered events; ``cause`` is ``invalid`` or ``refused``."""
        self._dead_letters.labels(cause).inc(events)

    def dead_letter_topic(self, usable: bool, set_aside: int) -> None:
        """Set whether the dead-letter topic can take letters, and how many are set aside in Redis."""
        self._letters_usable.set(int(usable))
        self._letters_aside.set(set_aside)

    def anonymous(self, events: int) -> None:
        """Count skipped events without a customer."""
        self._anonymous.inc(events)

    def erased_events(self, events: int) -> None:
        """Count events of erased customers that were passed over."""
        self._erased_events.inc(events)

    def erased_customer(self) -> None:
        """Count an erased customer."""
        self._customer_changes.labels("erased").inc()

    def merged_customer(self) -> None:
        """Count a merged customer."""
        self._customer_changes.labels("merged").inc()

    def lines(self, outcome: str, count: int) -> None:
        """Count lines with one outcome; the label is called ``fate``."""
        self._lines.labels(outcome).inc(count)

    def recommendations(self, outcome: str, count: int) -> None:
        """Count recommendations with one outcome; the label is called ``fate``."""
        self._recommendations.labels(outcome).inc(count)

    def score(self, hit: bool) -> None:
        """Count a published score; ``hit``: it has a hit among the first 10."""
        self._scores.inc()
        self._hits.inc(int(hit))

    def fallback(self) -> None:
        """Count a customer that the model failed for."""
        self._fallbacks.inc()

    def model(self, name: str, version: str) -> None:
        """Set the model in use."""
        self._model.clear()
        self._model.labels(name, version).set(1)

    def model_swapped(self, name: str, version: str) -> None:
        """Count a model that was loaded from the registry, and set it as the one in use."""
        self.model(name, version)
        self._swaps.inc()

    def model_refused(self) -> None:
        """Count a refused bundle."""
        self._refused.inc()

    def merchandising(self, items: int, rules_version: int) -> None:
        """Set the number of items of the catalogue and the version of the rules."""
        self._catalogue_items.set(items)
        self._rules_version.set(rules_version)

    def rule_items(self, kind: str, items: int) -> None:
        """Count items of one list that the catalogue, or a rule of a kind, removed or placed."""
        self._rule_items.labels(kind).inc(items)

    def refreshed(self, outcome: str, customers: int) -> None:
        """Count customers of a refresh with one outcome."""
        self._refreshed.labels(outcome).inc(customers)

    def refreshed_partition(self, cause: str) -> None:
        """Count a partition whose refresh reached its end."""
        self._refreshed_partitions.labels(cause).inc()

    def refresh_remaining(self, customers: int) -> None:
        """Set the number of customers that are still to be refreshed."""
        self._refresh_remaining.set(customers)

    def refresh_seconds(self, seconds: float) -> None:
        """Add time that a portion of a refresh took."""
        self._refresh_seconds.inc(seconds)

    def lag(self, partition: int, events: int) -> None:
        """Set the number of events of a partition that are not processed."""
        self._lag.labels(str(partition)).set(events)

    def unreadable_headers(self, events: int) -> None:
        """Count events with a header name that is not UTF-8."""
        self._unreadable_headers.inc(events)

    def outage(self, service: str, seconds: float) -> None:
        """Add seconds for which a service was unavailable."""
        self._outage_seconds.labels(service).inc(seconds)

    def events_lost(self, events: int) -> None:
        """Count events that Kafka deleted before they were read."""
        self._events_lost.inc(events)

    def topic_made_again(self) -> None:
        """Count a topic that was deleted and made again."""
        self._made_again.inc()

    def partition_reset(self) -> None:
        """Count a partition whose offsets began anew."""
        self._resets.inc()

    def redis_lost(self) -> None:
        """Count a loss of data in Redis."""
        self._redis_losses.inc()

    def keys_evicted(self, keys: int) -> None:
        """Count keys that Redis evicted."""
        self._evicted.inc(keys)

    def clock_difference(self, witness: str, seconds: float) -> None:
        """Set by how many seconds a witness, ``Redis`` or ``records``, is ahead of this machine's clock."""
        self._clock_difference.labels(witness).set(seconds)

    def redis_evicts(self, evicts: bool) -> None:
        """Set whether a server of Redis has an eviction policy."""
        self._evicts.set(int(evicts))

    def streams(self, count: int) -> None:
        """Set the number of live streams of the API that are open."""
        self._streams.set(count)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request of the API, and record its seconds."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    @contextmanager
    def stage(self, name: str, events: int = 0) -> Iterator[None]:
        """Time a stage of a batch of so many events."""
        start = perf_counter()
        try:
            yield
        finally:
            self.stage_took(name, perf_counter() - start, events)

    def stage_took(self, name: str, seconds: float, events: int) -> None:
        """Record a stage of a batch of so many events, each of which it took ``seconds`` on average."""
        seconds = max(0.0, seconds)
        self._stage.labels(name).observe(seconds)
        if events:
            self._event_stage.labels(name).inc(seconds * events)


class TrainingMetrics:
    """The metrics of repeated training."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._rounds = Counter(
            "training_rounds", "Rounds of training", ["outcome"], namespace=NAMESPACE, registry=self.registry
        )
        for outcome in ("promoted", "not_promoted", "failed"):
            self._rounds.labels(outcome)
        self._seconds = Gauge(
            "training_round_seconds", "Duration of the last round", namespace=NAMESPACE, registry=self.registry
        )
        self._success = Gauge(
            "training_last_success_timestamp_seconds",
            "When the last round ended that gave a model; 0: none did",
            namespace=NAMESPACE,
            registry=self.registry,
        )

    def round(self, outcome: str, seconds: float) -> None:
        """Count a round that ended as ``promoted``, ``not_promoted`` or ``failed``, and set its duration."""
        self._rounds.labels(outcome).inc()
        self._seconds.set(seconds)
        if outcome != "failed":
            self._success.set_to_current_time()
