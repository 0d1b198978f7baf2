"""From typed rows to invoices: named cleaning rules, and the ledger of what each removed or changed."""
