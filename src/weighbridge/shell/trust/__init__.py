"""Statuses and advisories that can be trusted and are fresh: The Update Framework (TUF), by python-tuf.

`repository` signs them when a hub publishes, `client` checks them for an adopter, `keys` keeps the publisher's keys.
Source: https://theupdateframework.github.io/specification/v1.0.31/.
"""
