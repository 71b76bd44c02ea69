"""Everything that ships beside the weights: card, provenance, release record, signature."""
