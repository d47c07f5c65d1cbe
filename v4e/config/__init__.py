"""The settings of a run, their checks, the recipes, and the command line that changes them."""

from v4e.config.bench import Bench, Judge
from v4e.config.captions import Caption
from v4e.config.command_line import parse, written
from v4e.config.data import Data, Precompute
from v4e.config.decided import decided_by, differing
from v4e.config.evaluation import Ablate, Eval, Sample
from v4e.config.ingest import Ingest
from v4e.config.losses import KD, Distill, Flow, Tail, objective
from v4e.config.planning import Plan, Scale
from v4e.config.recipes import RECIPES, tiny
from v4e.config.run import Models, Run
from v4e.config.schema import Config
from v4e.config.setting import Outcome
from v4e.config.teacher import Teacher, Transport
from v4e.config.training import Export, Lora, Optim, Train
from v4e.config.watching import Watch

__all__ = [
    "KD",
    "RECIPES",
    "Ablate",
    "Bench",
    "Caption",
    "Config",
    "Data",
    "Distill",
    "Eval",
    "Export",
    "Flow",
    "Ingest",
    "Judge",
    "Lora",
    "Models",
    "Optim",
    "Outcome",
    "Plan",
    "Precompute",
    "Run",
    "Sample",
    "Scale",
    "Tail",
    "Teacher",
    "Train",
    "Transport",
    "Watch",
    "decided_by",
    "differing",
    "objective",
    "parse",
    "tiny",
    "written",
]
