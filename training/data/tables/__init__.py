"""From the file of an invoice table to rows with typed columns."""
