"""Where the invoices of a run come from: a given path, the cache, the download, the simulator."""
