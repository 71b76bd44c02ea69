"""The rules of a stage, and the pure function that decides."""
