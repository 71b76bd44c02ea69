"""Gathers what an adoption check looks at: a folder, a hub, an answer from the publisher."""
