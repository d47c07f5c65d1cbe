"""The parts of models that a run reads from the Hugging Face hub, so that they can be fetched before anything waits.

Models in folders of this machine need none of it.
"""

from dataclasses import dataclass

from v4e.config import Config
from v4e.weights.hub import is_hub_id, local_folder

PIPELINE = ("transformer", "vae", "text_encoder", "tokenizer", "image_encoder", "image_processor", "scheduler")


@dataclass(frozen=True, kw_only=True)
class Download:
    """A hub id, and the subfolders of its pipeline to fetch; without any, all of it."""

    model: str
    parts: tuple[str, ...] = ()

    def fetch(self) -> None:
        """Fetches what is not on this machine yet; shows the hub's own progress.

        Raises:
            FileNotFoundError: it is not to be had.
        """
        allow = ("model_index.json", *(f"{part}/*" for part in self.parts)) if self.parts else None
        local_folder(self.model, allow)

    def __str__(self) -> str:
        return f"{self.model} ({', '.join(self.parts) or 'all of it'})"


def captioner(config: Config) -> list[Download]:
    """The language model of ``v4e caption``, unless a server has it."""
    model = config.caption.model
    return [Download(model=model)] if is_hub_id(model) and not config.caption.url else []


def teacher(config: Config) -> list[Download]:
    """The teacher's parts: its DiT, its sampler's settings, and for guidance the text encoder."""
    texts = ("text_encoder", "tokenizer") if config.teacher.guidance != 1 else ()
    model = config.models.teacher
    return [Download(model=model, parts=("transformer", "scheduler", *texts))] if is_hub_id(model) else []


def student(config: Config) -> list[Download]:
    """The student's pipeline, whose encoders make the store and whose DiT is trained."""
    model = config.models.student
    return [Download(model=model, parts=PIPELINE)] if is_hub_id(model) else []
