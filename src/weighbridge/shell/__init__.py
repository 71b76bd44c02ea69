"""Adapters to the world and the command line."""
