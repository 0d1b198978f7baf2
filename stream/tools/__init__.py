"""What commands do beside the worker: replay, redrive, export, reports on one customer, embedded servers."""
