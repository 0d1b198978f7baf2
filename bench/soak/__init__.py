"""A long run at a steady rate: memory, lag and latency of a worker, as figures and as a picture."""
