"""Evaluations ask the model."""
