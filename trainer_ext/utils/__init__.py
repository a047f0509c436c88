"""Helpers that do not depend on models: files, YAML, imports, checkpoints, processes."""
