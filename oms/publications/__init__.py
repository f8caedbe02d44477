"""Signals and news: what may be published, kept and then told; and feeds that are read for news."""
