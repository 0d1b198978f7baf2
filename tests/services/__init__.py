"""The Kafka and Redis that tests and benchmarks run on: given, in Docker, installed locally, or embedded."""
