"""How requests reach the hub's features, and how their answers and refusals are worded for its clients."""
