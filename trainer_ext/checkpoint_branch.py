"""Checkpoint branch: resumable checkpoints go to a branch of their own, never under the name of the small model."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path

from huggingface_hub import HfApi
from transformers.trainer_utils import HubStrategy
from transformers.utils import PushInProgress, logging

from .errors import one_line
from .publication import link

logger = logging.get_logger(__name__)

BRANCH = "checkpoints"
LAST = "last-checkpoint"  # as Trainer calls it with hub_strategy="checkpoint"
COPY = "_checkpoints"  # in the output folder; Trainer publishes nothing that begins with an underscore
# A pickle of the arguments, which holds the access token; resuming does not read it.
NEVER = ("training_args.bin",)


def push_checkpoint(trainer, folder: str) -> None:
    """Send a checkpoint to the branch in the background, as `args.hub_strategy` asks.

    "all_checkpoints" keeps each under its own name, "checkpoint" and "every_save" the last one, "end" sends none. To go on
    from one: `hf download USER/NAME --revision checkpoints --local-dir FOLDER`, then
    `trainer.train(resume_from_checkpoint="FOLDER/last-checkpoint")`.

    Args:
        trainer: a Trainer with a repository (`push_to_hub=True`).
        folder: the checkpoint.
    """
    args, running = trainer.args, trainer.push_in_progress is not None and not trainer.push_in_progress.is_done()
    if args.hub_strategy == HubStrategy.END or (running and not args.hub_always_push):
        return
    if running:
        trainer.push_in_progress.wait_until_done()
    trainer.callback_handler.on_push_begin(args, trainer.state, trainer.control)
    name = Path(folder).name if args.hub_strategy == HubStrategy.ALL_CHECKPOINTS else LAST
    copy = Path(args.output_dir) / COPY / name  # Trainer may delete the checkpoint before it is sent
    shutil.rmtree(copy.parent, ignore_errors=True)
    for file in Path(folder).rglob("*"):
        if file.is_file() and file.name not in NEVER:
            link(file, copy / file.relative_to(folder))
    api = HfApi(token=args.hub_token)
    message = f"Training in progress, step {trainer.state.global_step}"
    job = api.run_as_future(_send, api, trainer.hub_model_id, copy, message)
    job.add_done_callback(_tell)
    trainer.push_in_progress = PushInProgress([job])


def _send(api: HfApi, repo_id: str, folder: Path, message: str) -> None:
    api.create_branch(repo_id, branch=BRANCH, exist_ok=True)
    api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        path_in_repo=folder.name,
        revision=BRANCH,
        commit_message=message,
        delete_patterns="*",  # within that folder: of the checkpoint before
    )


def _tell(job: Future) -> None:
    """A training goes on without the Hub; that a checkpoint did not arrive is said."""
    if not job.cancelled() and job.exception():
        logger.warning(f"A checkpoint was not sent to the Hub: {one_line(job.exception())}; the one here is complete.")
