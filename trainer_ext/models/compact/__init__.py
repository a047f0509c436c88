"""Compact models: the classes of shrunk models, which also load where this package is not installed."""
