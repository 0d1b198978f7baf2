"""From the file of a table to typed rows; ``invoice_table.load`` is the entry."""
