"""Compiled hot paths: frame, sequence, fanout, book, bars.

Holds the work done once per update or once per subscriber. Must not know asyncio policy,
JSON libraries, or anything else of ours.
"""
