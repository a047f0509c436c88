"""Command line: `trainer-ext`, one module per command."""
