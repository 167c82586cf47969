"""The command line: it parses, calls and prints; the work is done elsewhere."""

from promptlift.cli.app import main

__all__ = ["main"]
