"""What commands other than the worker do: replay, redrive, export, customer report, similarity, embedded servers."""
