"""From raw rows to invoices: named cleaning steps and the ledger of what each removed or changed."""
