"""Repositories of models, datasets and spaces: their names, settings, branches, files, commits and lists."""
