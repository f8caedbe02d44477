"""Tests of the pure mappers."""
