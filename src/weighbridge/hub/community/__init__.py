"""Gated access, discussions and pull requests, and storage buckets."""
