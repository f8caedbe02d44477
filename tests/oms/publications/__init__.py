"""Tests of signals and news."""
