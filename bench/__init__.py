"""Benchmarks: figures with the command that makes them. Never part of a test."""
