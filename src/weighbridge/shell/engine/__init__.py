"""Adapters to the engines that load models."""
