"""Audits look at bytes."""
