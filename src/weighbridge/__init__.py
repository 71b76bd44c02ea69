"""Weighbridge turns an internal AI model into open versions that people can trust."""

__version__ = "0.1.0"
