"""What the tests of the results page share: calling its commands."""

from typer.testing import CliRunner

from recipes import results


def run(*words):
    """Call a command of recipes.results in this process."""
    return CliRunner().invoke(results.app, [str(word) for word in words])
