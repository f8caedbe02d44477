"""Tests of the driver: against recorded requests, broken connections, and a running gateway."""
