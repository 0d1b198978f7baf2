"""Where the table of a run comes from: a path, the cache, a download or the simulator."""
