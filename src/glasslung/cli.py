"""The verbs of `glasslung`: parse, call one function, print. Nothing heavy is imported before a verb runs."""

from __future__ import annotations


def main() -> int:
    """Run the command line; 0 done, 2 a user's mistake told in one line."""
    raise NotImplementedError
