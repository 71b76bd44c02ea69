"""The hub server's adapters to the world."""
