"""The Hub hooks of a Trainer that compresses: only the small model is published, without secrets.

Checkpoints, which are full-size, go to a branch of their own. Each of the four overrides calls `super()` if the Trainer
does not compress.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub import HfApi
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, HubStrategy
from transformers.utils import PushInProgress, logging

from .. import report
from ..errors import one_line
from ..models.architectures import is_stock
from ..models.custom import check_publishable, save_custom
from ..models.loading import save_tokenizer
from ..utils.checkpoints import begin_checkpoint
from ..utils.compat import private_repository
from ..utils.training import call_as_known, plain_model
from .client import explain_error, look
from .sanitize import valid_ids
from .staging import CARD, card_of, link_or_copy, refuse_leaks, stale, verify_saved, write_card
from .trainer_report import trainer_report

if TYPE_CHECKING:
    from transformers import TrainingArguments

logger = logging.get_logger(__name__)

BRANCH = "checkpoints"
LAST = "last-checkpoint"  # Trainer's name for hub_strategy="checkpoint"
# Folders in the output folder; Trainer uploads nothing that begins with an underscore.
COPY, STAGE = "_checkpoints", "_hub"
# A pickle of the arguments, which holds the access token; resuming does not read it.
NEVER = ("training_args.bin",)


def push_checkpoint(trainer: Any, folder: str) -> None:
    """Upload a checkpoint to the branch `checkpoints` in the background, as `args.hub_strategy` says.

    "all_checkpoints" keeps each under its own name, "checkpoint" and "every_save" the last one, "end" uploads none. To
    resume from one: `hf download USER/NAME --revision checkpoints --local-dir FOLDER`, then
    `trainer.train(resume_from_checkpoint="FOLDER/last-checkpoint")`.

    Args:
        trainer: A Trainer with `push_to_hub=True`.
        folder: The checkpoint.
    """
    args, running = trainer.args, trainer.push_in_progress is not None and not trainer.push_in_progress.is_done()
    if args.hub_strategy == HubStrategy.END or (running and not args.hub_always_push):
        return
    if running:
        trainer.push_in_progress.wait_until_done()
    trainer.callback_handler.on_push_begin(args, trainer.state, trainer.control)
    name = Path(folder).name if args.hub_strategy == HubStrategy.ALL_CHECKPOINTS else LAST
    copy = Path(args.output_dir) / COPY / name  # Trainer may delete the checkpoint before it is uploaded
    shutil.rmtree(copy.parent, ignore_errors=True)
    for file in Path(folder).rglob("*"):
        if file.is_file() and file.name not in NEVER:
            link_or_copy(file, copy / file.relative_to(folder))
    api = HfApi(token=args.hub_token)
    message = f"Training in progress, step {trainer.state.global_step}"
    job = api.run_as_future(_upload, api, trainer.hub_model_id, copy, message)
    job.add_done_callback(_warn_if_failed)
    trainer.push_in_progress = PushInProgress([job])  # type: ignore[arg-type]  # annotated as one job; Trainer passes a list


def _upload(api: HfApi, repo_id: str, folder: Path, message: str) -> None:
    api.create_branch(repo_id, branch=BRANCH, exist_ok=True)
    api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        path_in_repo=folder.name,
        revision=BRANCH,
        commit_message=message,
        delete_patterns="*",  # in this folder of the repository: the files of the checkpoint before
    )


def _warn_if_failed(job: Future[None]) -> None:
    if not job.cancelled() and job.exception():
        logger.warning(
            f"A checkpoint was not uploaded to the Hub: {one_line(job.exception())}. The training goes on, and the local "
            "checkpoint is complete."
        )


class HubMixin:
    """The Hub hooks of a Trainer that has `compression`, `_compresses` and `_before`."""

    if TYPE_CHECKING:
        args: TrainingArguments

        def is_world_process_zero(self) -> bool:
            """As in Trainer."""

    def push_to_hub(
        self, commit_message="End of training", blocking=True, token=None, revision=None, private=None, **kwargs
    ):
        """Publish the model, as `Trainer.push_to_hub`; a compressed model is staged and verified first.

        The small model, its tokenizer, the report and the card are staged in `_hub` in the output folder. They are loaded
        in a fresh process, and must be the same model.

        Args:
            commit_message: As in Trainer.
            blocking: As in Trainer.
            token: As in Trainer.
            revision: As in Trainer.
            private: Whether a new repository is private.
            **kwargs: Arguments of `create_model_card`.

        Raises:
            ValueError: The model still has its masks, or a file holds a token.
            CheckFailed: The staged folder does not hold the same model.
            HubError: The Hub or the network failed; the call can be repeated.
        """
        if not self._compresses or (self.compression is None and not is_stock(self.model)):
            named = {"blocking": blocking, "token": token, "revision": revision}
            with private_repository(self, private) as known:
                return call_as_known(super().push_to_hub, commit_message, **named, **known, **kwargs)
        if hasattr(self.model, "pruning"):
            raise ValueError("The model still has its masks: call train() to the end, or shrink(), before publishing.")
        check_publishable(self.model)
        token = token if token is not None else self.args.hub_token
        if self.hub_model_id is None:
            with (
                explain_error(self.args.hub_model_id or Path(self.args.output_dir).name),
                private_repository(self, private) as known,
            ):
                call_as_known(self.init_hf_repo, token=token, **known)
        with self._staged(keep=not blocking) as folder:
            gone = []
            if self.is_world_process_zero():
                api = HfApi(token=token)
                remote = look(api, self.hub_model_id)
                if remote.card is not None:
                    (folder / CARD).write_bytes(remote.card.encode("utf-8"))
            self.save_model(_internal_call=True)
            if self.is_world_process_zero():
                self.create_model_card(**kwargs)
                refuse_leaks(folder, Path(self.args.output_dir), self.args.hub_token, token)
                verify_saved(plain_model(self), folder)
                gone = stale(remote.files, folder)
            with explain_error(self.hub_model_id or ""), private_repository(self, private) as known:
                named = {"blocking": blocking, "token": token, "revision": revision}
                done = call_as_known(super().push_to_hub, commit_message, **named, **known, **kwargs)
                if gone:
                    api.delete_files(self.hub_model_id, gone, revision=revision or self.args.hub_revision)
        return done

    def create_model_card(
        self,
        language=None,
        license=None,  # noqa: A002
        tags=None,
        model_name=None,
        finetuned_from=None,
        tasks=None,
        dataset_tags=None,
        dataset=None,
        dataset_args=None,
    ):
        """Write the model card, as `Trainer.create_model_card`; for a compressed model, compression.json as well.

        Edits of an existing card are kept. Names that cannot be Hub ids, such as a local folder in `finetuned_from`, are
        left out. The arguments are those of Trainer.
        """
        if not self._compresses or hasattr(self.model, "pruning"):
            return call_as_known(
                super().create_model_card,
                language=language,
                license=license,
                tags=tags,
                model_name=model_name,
                finetuned_from=finetuned_from,
                tasks=tasks,
                dataset_tags=dataset_tags,
                dataset=dataset,
                dataset_args=dataset_args,
            )
        if self.is_world_process_zero():
            folder = Path(self.args.output_dir)
            repo_id = self.hub_model_id or self.args.hub_model_id or folder.absolute().name
            numbers = trainer_report(self, self._before, repo_id=repo_id, created=self._trained_at)
            card = card_of(
                numbers,
                repo_id,
                base_model=next(iter(valid_ids(_several(finetuned_from))), self._before.hub_id),
                license=license,
                language=_several(language),
                datasets=valid_ids(_several(dataset_tags)),
                tags=_several(tags),
            )
            existing = (folder / CARD).read_bytes().decode("utf-8") if (folder / CARD).exists() else None
            report.save(numbers, folder)
            write_card(folder, card, existing)

    def _save(self, output_dir=None, state_dict=None):
        # No public hook: Trainer writes training_args.bin, a pickle that holds the Hub token, next to every model.
        # Local checkpoints keep it; a compressed model, which may be published, does not.
        folder = Path(output_dir if output_dir is not None else self.args.output_dir)
        if self._compresses and self.args.should_save:
            begin_checkpoint(folder)
        if self.compression is None:
            call_as_known(super()._save, output_dir, state_dict=state_dict)
            if self._compresses and self.args.should_save and not folder.name.startswith(PREFIX_CHECKPOINT_DIR):
                for name in NEVER:
                    (folder / name).unlink(missing_ok=True)
        elif self.args.should_save:
            save_custom(self.model, folder, state_dict)
            tokenizer = self.processing_class or getattr(self.data_collator, "tokenizer", None)
            if tokenizer is not None:
                save_tokenizer(tokenizer, folder)

    def _push_from_checkpoint(self, checkpoint_folder):
        # No public hook: Trainer would upload full-size checkpoints to the main branch.
        if not self._compresses:
            super()._push_from_checkpoint(checkpoint_folder)
        elif self.is_world_process_zero():
            push_checkpoint(self, checkpoint_folder)

    @contextlib.contextmanager
    def _staged(self, *, keep: bool) -> Iterator[Path]:
        """Make the staging folder, which starts empty, the output folder for the time of the block."""
        args = self.args
        folder = Path(cast(str, args.output_dir)) / STAGE  # Trainer sets it
        self.args = copy.copy(args)
        self.args.output_dir = str(folder)
        try:
            if self.is_world_process_zero():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
            yield folder
        finally:
            self.args = args
        if not keep and self.is_world_process_zero():
            shutil.rmtree(folder, ignore_errors=True)


def _several(words: str | list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if words is None else (words,) if isinstance(words, str) else tuple(words)
