"""From a batch of raw events to confirmed recommendations; no Faust, no Kafka client."""
