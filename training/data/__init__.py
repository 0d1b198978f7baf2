"""From a table of invoices to the log that training reads.

``sources`` chooses a table, ``tables`` reads it into typed rows, ``cleaning`` leaves the lines that count and keeps a
ledger of the others, ``log`` holds the invoices by date, ``walk`` goes through them and stops wherever a basket can be
predicted. ``simulator`` generates tables where there are none.
"""
