"""How a version is made from a checkpoint: recipes as frozen plans, and the steps that carry them out."""
