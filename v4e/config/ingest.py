"""What ``pipelines/ingest.py`` reads, keeps and writes."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, FINITE, NOT_NEGATIVE, check, require
from v4e.config.mixture import parse_weights


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """Public corpora to a small, balanced set of triplets. Thresholds are ours: the paper names none."""

    omniedit: tuple[str, ...] = ()  # OmniEdit-Filtered-1.2M: files, folders or globs, several with commas
    hqedit: tuple[str, ...] = ()  # HQ-Edit, not for commercial use
    ultraedit: tuple[str, ...] = ()  # UltraEdit's three repositories, any of them
    gptedit: tuple[str, ...] = ()  # GPT-Image-Edit-1.5M, unpacked
    magicbrush: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()  # of images and a metadata.jsonl or .csv: source, edit, instruction[, id, task]
    triplets: tuple[str, ...] = ()  # Parquet as ingest writes it, and the world's
    count: int = 9_900  # triplets to train on
    heldout: int = 0  # triplets to evaluate on, in the same mix; they share no image with the others
    shares: str = ""  # of the corpora, e.g. omniedit=50,hqedit=0; those not named keep Table 3's, or 33
    tasks: str = ""  # shares of the tasks, e.g. text=7,portrait=0; those not named keep Table 3's
    disagree: Literal["drop", "corpus", "rules"] = "drop"  # where a corpus's label and the rules differ: who is right
    unsure: Literal["drop", "keep"] = "drop"  # a task by a weak rule alone
    per_instruction: int = 3  # candidates with the same instruction, of one corpus and task
    candidates: float = 3.0  # kept for each one wanted, the best: what may fail when images are looked at
    refuse: str = ""  # hashes of instructions that must not be trained on: v4e leakage makes it
    exclude: tuple[str, ...] = ()  # triplets whose images must not occur, e.g. an older held-out set
    min_o_score: float = 7.0  # OmniEdit's, where given
    min_clip_dir: float = 0.2  # UltraEdit's clip_sim_dir, where given
    min_side: int = 448  # pixels, of both images
    max_aspect: float = 3.0  # the long side over the short one
    min_change: float = 0.02  # of the place that changes most, in 0..1; less is no edit
    max_outside: float = 0.1  # mean change, in 0..1, of what an edit of its task should leave alone
    hash_distance: int = 4  # bits of 64 by which perceptual hashes of the same image may differ
    readers: int = 2  # tasks that read labels or images

    def __post_init__(self):
        check(self, AT_LEAST_1, "count", "per_instruction", "candidates", "min_side", "max_aspect", "readers")
        check(self, NOT_NEGATIVE, "heldout", "min_o_score", "min_change", "max_outside")
        check(self, FINITE, "candidates", "min_clip_dir")
        require(
            0 <= self.hash_distance <= 16,
            f"ingest.hash_distance={self.hash_distance}: images that differ by more than 16 of 64 bits have nothing in "
            "common: set it to 0..16, e.g. ingest.hash_distance=4",
        )
        parse_weights(self.shares, "ingest.shares")
        parse_weights(self.tasks, "ingest.tasks")
