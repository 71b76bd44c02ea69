"""A repository of the hub is a git repository: its objects, trees, merges and history, over any table of objects.

Pure: what is read comes through an `ObjectReader`, what is made is returned as bytes under its oid. The form of the
objects is git's own (Documentation/gitformat-*, SHA-1), so that ids which clients see are the ones git computes.
"""
