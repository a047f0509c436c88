"""`python -m trainer_ext`: the command line."""

from trainer_ext.cli.main import main

main()
