"""Who asks: users, organisations, roles, tokens, and what a caller may do to a repository."""
