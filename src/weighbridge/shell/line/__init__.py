"""The line: what happens to a release plan, stage by stage."""
