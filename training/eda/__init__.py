"""Exploratory data analysis of a table: its quality, its sales, and how its customers buy."""

from training.eda.report import BYTES_A_ROW, build_report

__all__ = ["BYTES_A_ROW", "build_report"]
