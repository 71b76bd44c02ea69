"""Licence facts of a release; pure."""
