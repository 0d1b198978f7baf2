"""The Kafka and Redis that tests and benchmarks run on: found in the environment, in Docker, installed locally, or embedded."""
