"""Load the masked Linear of nn_pruning 0.1.2 on Python 3.11 and later, for benchmarks and tests.

`modules.masked_nn`, and so `patch_coordinator`, cannot be imported there, because a dataclass instance is the default of
another dataclass. The loader adds one keyword to one decorator; transformers and torch are not changed.
"""

import ast
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import warnings

NAME = "nn_pruning.modules.masked_nn"
FITS = "0.1.2"


class _Loader(importlib.machinery.SourceFileLoader):
    """Makes `InitDirective` hashable, which Python requires of a dataclass default since 3.11."""

    def get_code(self, name):
        return self.source_to_code(self.get_data(self.path), self.path)  # never the cached bytecode

    def source_to_code(self, data, path, *, _optimize=-1):
        tree = ast.parse(data, path)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == "InitDirective":
                flag = ast.keyword("unsafe_hash", ast.Constant(True))
                node.decorator_list = [ast.Call(decorator, [], [flag]) for decorator in node.decorator_list]
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize)


def load_masked_nn():
    """Return the module `nn_pruning.modules.masked_nn`; after that, `nn_pruning.patch_coordinator` can be imported too.

    Raises:
        ImportError: Another version is installed, which the loader may not fit.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    installed = importlib.metadata.version("nn_pruning")
    if installed != FITS:
        raise ImportError(
            f"The shim fits nn_pruning {FITS}, installed is {installed}: pip install nn_pruning=={FITS}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (DeprecationWarning, SyntaxWarning))  # "\." in a plain string, while compiling
        spec = importlib.util.find_spec(NAME)
        spec.loader = _Loader(spec.name, spec.origin)
        module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[NAME]
            raise
    return module
