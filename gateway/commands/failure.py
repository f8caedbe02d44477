"""What a command says when it cannot do what it was asked: one sentence with what would help, and no traceback."""

from __future__ import annotations


class CommandError(Exception):
    """Ends the command with exit code 1 after printing its message."""
