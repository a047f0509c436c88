"""Compact models: what loads a shrunk model, here and where this package is not installed."""
