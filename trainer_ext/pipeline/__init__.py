"""Pipeline: from a recipe to a finished run, which is `trainer-ext compress`."""
