"""Benchmarks: commands that print the figures of the documentation. Tests do not run them.

For users: ``bench.stream`` (throughput and latency of the worker), ``bench.serving`` (cost of a prediction),
``bench.fitting`` (cost of fitting a model), ``bench.growth`` (training on larger shops), ``bench.due`` (lists of who is
due, for a million customers). ``bench.research`` has what only the research log and the model cards need.
"""
