"""What an adopter does: verify and run."""
