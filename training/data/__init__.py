"""From raw invoice tables to the log of purchases: datasets, cleaning, invoices, sources, simulator, walk."""
