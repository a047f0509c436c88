"""`python -m trainer_ext`: the command line."""

from .cli.main import main

main()
