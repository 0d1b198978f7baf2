"""Simulator: generated invoices in the shape of UCI Online Retail, for runs without data or network."""

from training.data.simulator.profiles import GIFTS, GROCERIES, SHOP_PROFILES, SMALL, ShopProfile
from training.data.simulator.shop import simulate, simulate_blocks, write_parquet, write_parts

__all__ = [
    "GIFTS",
    "GROCERIES",
    "SHOP_PROFILES",
    "SMALL",
    "ShopProfile",
    "simulate",
    "simulate_blocks",
    "write_parquet",
    "write_parts",
]
