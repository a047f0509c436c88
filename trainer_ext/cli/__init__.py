"""The command line `trainer-ext`: thin commands over the library."""
