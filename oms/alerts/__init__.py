"""Alerts: rules on prices, when one is met, and what is told then."""
