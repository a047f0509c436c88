"""Imports go one way: a module may import modules of earlier rows only, so that every piece can be read by itself."""

import ast
from pathlib import Path

import trainer_ext

PACKAGE = "trainer_ext"
ROOT = Path(trainer_ext.__file__).parent

# A new module gets a place here: the first paragraph after everything that it imports. The first know nothing of the rest.
ROWS = """
errors

_version alphabet argument_checks budgets card_markdown codec compact compact.fresh compact.modeling_compact
data_arguments ensembles entities equivalence family_names intervals label_places labels leaks leftovers
loopback_hub.answers loopback_hub.card_checks loopback_hub.readme_html loopback_hub.records loopback_hub.repository
loopback_hub.upload_rules loss_terms losses matrices merges metric_names precision publish_arguments report_schema
rows schedules score_group sound_weights space_folder squad strict_yaml vocabulary_arguments

card_front_matter compact.registration disk encoding extras families finite hidden_states hub_errors loopback_hub.access
loopback_hub.faults loopback_hub.pages loopback_hub.trees metrics opening pieces publishable recipe_file report
scores search_facts search_goal sharding soft_targets speed_budget sweep_rows table_files traceable wheel

answer_store answers card_metadata card_sections cleaning corpus energy energy_words iob_rows
loopback_hub.catalogue measure onnx_files openvino_files piece_choice recipe_checks renumber resuming run_directory runtimes
scoring scratch search_space space_files squad_rows sweep_choice table_rows teacher_inputs

emissions_callback inference_energy loopback_hub.state participants publication search_results tables tasks teachers
trainer_report units vocabulary vocabulary_figures

arguments assess card_facts checkpoint_branch data fresh_memory hub latency loopback_hub.endpoints_account
loopback_hub.endpoints_download loopback_hub.endpoints_refs loopback_hub.endpoints_repositories
loopback_hub.endpoints_tree loopback_hub.endpoints_upload loopback_hub.routing loopback_hub.wire magnitude relations
run_energy search_beliefs structures teacher_cache trim workloads

benchmark_rows card_picture loopback_hub.endpoints_pages loopback_hub.endpoints_spaces masks recipe run_teacher
run_vocabulary search_prospects shrink sweep_columns sweep_panels

baseline benchmark compress_checks depth distillation export_source import_nn_pruning layer_timing loopback_hub.routes proven
search_words

benchmark_tables check export_check export_table loopback_hub.server recovery search_plan speed_closing student
sweep_axes sweep_tables usage

benchmark_plot callbacks card export loopback_hub run_report sweep_plot

prepared sweep_file sweep_files sweep_judge

publishing push_plan search_baseline sweep_fields sweep_place sweep_times

benchmark_files sweep_collect trainer

compress push

cli_ground rehearsal

demo_command publish_commands run_commands sweep_child tool_commands

sweep_workers

sweep_study

sweep_group

sweep

search

sweep_command

cli

__main__
"""
# Last the public names: whoever imports them from inside could import anything.
LAYERS = (*(tuple(row.split()) for row in ROWS.split("\n\n")), ("",))
LAYER = {module: number for number, row in enumerate(LAYERS) for module in row}


def modules() -> dict[str, str]:
    """Source of every module, by its path below the package; the package itself is ''."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file.read_text(encoding="utf-8")
    return found


def imports_of(module: str, source: str, *, package: bool = False) -> set[str]:
    """The modules of this package that a module imports, at its top or anywhere inside."""
    here = module.split(".") if module else []
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {name.partition(".")[2] for name in names if name.split(".")[0] == PACKAGE}
        elif isinstance(node, ast.ImportFrom):
            target = node.module.split(".") if node.module else []
            if node.level:
                up = node.level - (1 if package else 0)
                target = here[: len(here) - up] + target
            elif target[:1] == [PACKAGE]:
                target = target[1:]
            else:
                continue
            base = ".".join(target)
            inner = {".".join([*target, alias.name]) for alias in node.names}
            found |= (inner & LAYER.keys()) or {base}
    return found


def forbidden(module: str, source: str, **kwargs) -> list[str]:
    """The imports of a module that do not go down."""
    return sorted(name for name in imports_of(module, source, **kwargs) if LAYER[name] >= LAYER[module])


def test_every_module_has_a_place():
    assert sum(map(len, LAYERS)) == len(LAYER)
    assert set(modules()) == set(LAYER), "give new modules a row in LAYERS and take lost ones out"


def test_imports_go_one_way():
    wrong = {
        module: bad
        for module, source in modules().items()
        if (bad := forbidden(module, source, package=module in ("", "compact", "loopback_hub")))
    }
    assert not wrong, f"imported from the same or a later row: {wrong}"


def test_a_forbidden_import_is_caught():
    for line in (
        "from .trainer import DistillPruneTrainer",
        "from . import trainer",
        "import trainer_ext.trainer",
        "import trainer_ext.trainer as x",
        "from trainer_ext import trainer",
        "from trainer_ext.trainer import DistillPruneTrainer",
        "def f():\n    from .trainer import x",
        "if TYPE_CHECKING:\n    from .trainer import x",
    ):
        assert forbidden("masks", line) == ["trainer"], line
    assert forbidden("masks", "from trainer_ext import DistillPruneTrainer") == [""]
    assert forbidden("masks", "import trainer_ext") == [""]
    assert forbidden("losses", "from . import budgets") == ["budgets"]  # the same row
    assert forbidden("compact.registration", "from ..masks import attach") == ["masks"]
    assert forbidden("compact.registration", "from .. import masks") == ["masks"]
    assert forbidden("compact", "from .registration import register", package=True) == ["compact.registration"]


def test_an_allowed_import_is_not():
    for line in (
        "from . import budgets",
        "from .scores import UnitScores",
        "from .compact.modeling_compact import resize",
        "import torch, trainer_ext.pruning.units",
        "from torch import trainer",
    ):
        assert forbidden("masks", line) == [], line
