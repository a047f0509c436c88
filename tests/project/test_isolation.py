"""The fixture of every test that finds what a test leaves behind."""

import re

from tests.helpers.own_pytest import own_pytest

LEAVES = {
    # PyTorch 2.13 forgets to remove that it was a hook with keywords.
    "global hooks of modules": "torch.nn.modules.module.register_module_forward_hook(print, with_kwargs=True).remove()",
    "gradients": "torch.set_grad_enabled(False)",
    "default dtype": "torch.set_default_dtype(torch.float64)",
    "deterministic algorithms": "torch.use_deterministic_algorithms(True)",
    "threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "working directory": "os.chdir('..')",
}


def test_what_a_test_leaves_behind_is_told(tmp_path):
    """Seven tests in one process: six that leave something, and one that does not."""
    done = own_pytest(tmp_path, "tests.helpers.isolation", [*LEAVES.values(), "torch.zeros(1)"])
    assert re.findall(r"^E +AssertionError: left behind: \{'([a-z ]+)': ", done.stdout, re.MULTILINE) == list(LEAVES)
    assert "7 passed, 6 errors" in done.stdout
