"""Keeps published versions in a folder, and writes the page that shows them."""
