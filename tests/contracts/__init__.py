"""Contracts: what every registered thing must keep."""
