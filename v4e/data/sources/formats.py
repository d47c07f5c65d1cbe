"""The public corpora as published: their columns and licences, and the meaning of their labels and scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from v4e.config import Ingest
from v4e.language.tasks import TASKS

Scores = Mapping[str, float | None]
Tasks = tuple[str, ...]  # the tasks that a label may mean, the likeliest first; empty without a label
GLOBAL = ("style", "tone", "background")  # tasks for which a likeness of the two images is no merit


@dataclass(frozen=True, kw_only=True)
class PairColumns:
    """Columns of one edit that a row holds."""

    source: str
    edit: str
    instruction: str
    suffix: str = ""  # of its id


def unlabelled(_label: str, _id: str) -> Tasks:
    return ()


def unscored(_scores: Scores, _task: str, _ingest: Ingest) -> tuple[float, str]:
    return 0.0, ""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One corpus: everything that reading it needs to know."""

    name: str  # key of the config, and `corpus` of the triplets
    title: str
    licence: str
    listing: bool = False  # images in files beside JSON or CSV, not in Parquet
    pairs: tuple[PairColumns, ...]
    id: tuple[str, ...] = ()  # columns that name a row together; none = the file's name and `within`
    within: str = ""  # column that names a row within its file, where it is given; else the row's number does
    label: str = ""  # column
    scores: tuple[str, ...] = ()  # columns
    sizes: tuple[str, ...] = ()  # columns of width and height, pixels
    tasks: Callable[[str, str], Tasks] = unlabelled  # of a label and an id
    judge: Callable[[Scores, str, Ingest], tuple[float, str]] = unscored  # scores and task to quality, and why not


OWN = "folder"  # the corpus that is the user's own, with columns of any name


def own_tasks(label: str, _id: str) -> Tasks:
    """Returns the tasks of labels that are our tasks' names already."""
    return (label,) if label in TASKS else ()


OMNIEDIT_TASKS: dict[str, Tasks] = {
    "addition": ("addition",),
    "removal": ("removal",),
    "swap": ("replacement", "background"),
    "attribute_modification": ("color", "material", "motion", "portrait"),
    "env": ("tone", "background"),
    "style": ("style",),
}
OMNIEDIT_IDS: tuple[tuple[str, Tasks], ...] = (  # beginnings of ids, finer than labels; the first that fits
    ("task_obj_add", ("addition",)),
    ("task_obj_remove", ("removal",)),
    ("task_obj_swap", ("replacement", "background")),
    ("task_attr_mod_color", ("color",)),
    ("task_attr_mod_facial", ("motion", "portrait")),
    ("task_env_weather", ("tone",)),
)


def omniedit_tasks(label: str, row_id: str) -> Tasks:
    """Returns the tasks by the beginning of the id if it is known, else by the label."""
    finer = next((tasks for start, tasks in OMNIEDIT_IDS if row_id.startswith(start)), ())
    return finer or OMNIEDIT_TASKS.get(label, ()) or own_tasks(label, row_id)


def omniedit_judge(scores: Scores, _task: str, ingest: Ingest) -> tuple[float, str]:
    """Returns OmniEdit's overall score, 0 to 10, and a reason to reject; a row without a score comes last."""
    overall = scores["o_score"]
    if overall is None:
        return 0.0, ""
    return overall, "o_score below ingest.min_o_score" if overall < ingest.min_o_score else ""


def ultraedit_judge(scores: Scores, task: str, ingest: Ingest) -> tuple[float, str]:
    """Returns a score of how well the change follows the words, and a reason to reject.

    For local edits, the likeness of the two images counts too.
    """
    along = scores["clip_sim_dir"]
    if along is None:
        return -1.0, ""
    alike = 0.0 if task in GLOBAL else (scores["dinov2_sim"] or 0.0) / 2
    return along + alike, "clip_sim_dir below ingest.min_clip_dir" if along < ingest.min_clip_dir else ""


_CORPORA = (
    Corpus(
        name="omniedit",
        title="OmniEdit-Filtered-1.2M",
        licence="MIT (the compilation; photographs keep the terms of LAION-5B and OpenImages)",
        pairs=(PairColumns(source="src_img", edit="edited_img", instruction="edited_prompt_list"),),
        id=("omni_edit_id",),
        label="task",
        scores=("o_score",),
        sizes=("width", "height"),
        tasks=omniedit_tasks,
        judge=omniedit_judge,
    ),
    Corpus(
        name="hqedit",
        title="HQ-Edit",
        licence="CC BY-NC 4.0: not for commercial use, nor are models trained on it",
        pairs=(
            PairColumns(source="input_image", edit="output_image", instruction="edit"),
            PairColumns(source="output_image", edit="input_image", instruction="inverse_edit", suffix="-inverse"),
        ),
    ),
    Corpus(
        name="ultraedit",
        title="UltraEdit",
        licence="CC BY 4.0 (some of its photographs come from ShareGPT4V, CC BY-NC)",
        pairs=(PairColumns(source="source_image", edit="edited_image", instruction="edit_prompt"),),
        scores=("clip_sim_dir", "dinov2_sim"),
        judge=ultraedit_judge,
    ),
    Corpus(
        name="gptedit",
        title="GPT-Image-Edit-1.5M",
        licence="CC BY 4.0 (sources keep the terms of OmniEdit, HQ-Edit and UltraEdit)",
        listing=True,
        pairs=(PairColumns(source="input", edit="output", instruction="instruction"),),
        id=("dataset_source", "task", "id"),
        label="task",
        tasks=omniedit_tasks,
    ),
    Corpus(
        name="magicbrush",
        title="MagicBrush",
        licence="CC BY 4.0",
        pairs=(PairColumns(source="source_img", edit="target_img", instruction="instruction"),),
        id=("img_id", "turn_index"),
    ),
    Corpus(
        name=OWN,
        title="a table of source, edit and instruction",
        licence="your own",
        listing=True,
        pairs=(PairColumns(source="source", edit="edit", instruction="instruction"),),
        within="id",
        label="task",
        tasks=own_tasks,
    ),
    Corpus(
        name="triplets",
        title="triplets of v4e",
        licence="their own",
        pairs=(PairColumns(source="src_img", edit="edited_img", instruction="edited_prompt_list"),),
        id=("omni_edit_id",),
        label="task",
        sizes=("width", "height"),
        tasks=own_tasks,
    ),
)
CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in _CORPORA}
