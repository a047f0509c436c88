"""`python -m trainer_ext`: the command line."""

from .cli import main

main()
