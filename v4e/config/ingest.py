"""The corpora that ``v4e ingest`` reads, and the triplets that it keeps."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, FINITE, NOT_NEGATIVE, check, require
from v4e.config.mixture import parse_weights
from v4e.config.setting import NOTHING, setting

NEEDED = ("source", "edit", "instruction")
KEPT = ("mask", "rejected", "turns")  # what later stages can use: an image, an edit that lost, earlier instructions
ROLES = (*NEEDED, "id", "task", *KEPT)  # of the columns of a table of one's own


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """The choice of a small, balanced set of triplets from public corpora. The paper names no thresholds."""

    omniedit: tuple[str, ...] = setting(
        (), "OmniEdit-Filtered-1.2M: files, folders or globs, separated by commas", decides="triplets"
    )
    hqedit: tuple[str, ...] = setting((), "HQ-Edit, which is not for commercial use", decides="triplets")
    ultraedit: tuple[str, ...] = setting((), "UltraEdit: any of its three repositories", decides="triplets")
    gptedit: tuple[str, ...] = setting((), "GPT-Image-Edit-1.5M, unpacked", decides="triplets")
    magicbrush: tuple[str, ...] = setting((), "MagicBrush", decides="triplets")
    folder: tuple[str, ...] = setting(
        (),
        "Your own: Parquet, JSON Lines, JSON arrays, CSV or tar shards of source, edit, instruction[, id, task]",
        decides="triplets",
    )
    columns: tuple[str, ...] = setting(
        (),
        "Columns of ingest.folder that have other names, as source:input_image,edit:output_image,instruction:text",
        decides="triplets",
        before=(),
    )
    triplets: tuple[str, ...] = setting(
        (), "Parquet files as ingest or the synthetic world writes them", decides="triplets"
    )
    count: int = setting(9_900, "Number of triplets to train on", decides="triplets")
    heldout: int = setting(
        0, "Number of triplets to evaluate on, in the same mix; they share no image with the others", decides="triplets"
    )
    shares: str = setting(
        "", "Shares of the corpora, such as omniedit=50,hqedit=0; the others keep Table 3's, or 33", decides="triplets"
    )
    tasks: str = setting(
        "", "Shares of the tasks, such as text=7,portrait=0; the others keep Table 3's", decides="triplets"
    )
    disagree: Literal["drop", "corpus", "rules"] = setting(
        "drop",
        "Label to take where a corpus's label and the rules differ; drop takes neither and drops the triplet",
        decides="triplets",
    )
    unsure: Literal["drop", "keep"] = setting(
        "drop", "Whether to keep a triplet whose task only a weak rule names", decides="triplets"
    )
    per_instruction: int = setting(
        3, "Most candidates with the same instruction from one corpus and task", decides="triplets"
    )
    candidates: float = setting(
        3.0,
        "Candidates kept for each wanted triplet, the best ones; some fail once their images are checked",
        decides="triplets",
    )
    refuse: str = setting(
        "",
        "File of hashes of instructions that must not be trained on, made by v4e leakage",
        decides="triplets",
    )
    exclude: tuple[str, ...] = setting(
        (), "Triplets whose images must not occur, such as an older held-out set", decides="triplets"
    )
    min_o_score: float = setting(7.0, "Smallest OmniEdit score, where a corpus gives one", decides="triplets")
    min_clip_dir: float = setting(0.2, "Smallest clip_sim_dir of UltraEdit, where given", decides="triplets")
    min_side: int = setting(448, "Shortest side of either image, in pixels", decides="triplets")
    max_aspect: float = setting(3.0, "Largest ratio of long to short side", decides="triplets")
    min_change: float = setting(
        0.02,
        "Smallest change, from 0 to 1, at the place that changes most; below it nothing was edited",
        decides="triplets",
    )
    max_outside: float = setting(
        0.1, "Largest mean change, from 0 to 1, of the part that the task should leave alone", decides="triplets"
    )
    swapped: Literal["drop", "keep"] = setting(
        "keep",
        "What to do with an addition that takes away, or a removal that adds, by the edges of what changed",
        decides="triplets",
        before="keep",
    )
    hash_distance: int = setting(
        4, "Bits of 64 by which the perceptual hashes of one image may differ", decides="triplets"
    )
    readers: int = setting(2, "Tasks that read labels or images", decides=NOTHING)

    def __post_init__(self):
        pairs = [entry.partition(":") for entry in self.columns]
        require(
            all(role in ROLES and column for role, _, column in pairs) and len(self.mapping) == len(pairs),
            f"ingest.columns={','.join(self.columns)}: expected ROLE:COLUMN, each role once, of {', '.join(ROLES)}",
        )
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

    @property
    def mapping(self) -> dict[str, str]:
        """The columns of ``ingest.folder`` by their roles, where these are not their names."""
        return dict(entry.split(":", 1) for entry in self.columns)
