"""Events a second, CPU and latency of the worker, beside simpler workers."""
