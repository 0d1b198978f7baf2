"""Exploratory data analysis of a table: its quality, its sales, and how its customers buy."""

from training.eda.report import build_report

__all__ = ["build_report"]
