"""Call the commands of the results page in tests."""

from typer.testing import CliRunner

from recipes.tools import results


def run(*words):
    """Call a command of recipes.tools.results in this process."""
    return CliRunner().invoke(results.app, [str(word) for word in words])
