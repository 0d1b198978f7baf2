"""Simulator: made-up invoices of the shape of UCI Online Retail, where there is no data and no network."""

from training.data.simulator.kinds import GIFTS, GROCERIES, KINDS, SMALL, Kind
from training.data.simulator.shop import simulate, simulate_blocks, write_parquet

__all__ = ["GIFTS", "GROCERIES", "KINDS", "SMALL", "Kind", "simulate", "simulate_blocks", "write_parquet"]
