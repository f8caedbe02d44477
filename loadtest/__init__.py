"""Outsiders that speak the wire: the simulated exchange, load clients and reports."""
