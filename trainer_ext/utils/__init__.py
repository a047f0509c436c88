"""Utilities that know nothing of models: files, YAML, imports, checkpoints, processes."""
