"""Repositories that move between hubs: pulled over the network, or carried in a bundle where there is none."""
