"""`weighbridge hub pull|inventory|export|import`."""

import argparse


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options of this verb."""


def run(options: argparse.Namespace) -> int:
    """Do it."""
    raise NotImplementedError(options.hub_verb)
