"""Throughput, processor time and latency of the worker, compared with simpler workers."""
