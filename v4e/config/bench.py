"""The suites, the models and the judge of a benchmark run."""

import math
from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.setting import NOTHING, setting

SUITES = ("gedit", "imgedit", "uge", "multiturn", "rise")
STAGES = ("generate", "judge", "report")
LANGUAGES = ("en", "cn")
MODELS = ("ema", "native_i2v")
PARAMETERS = ("max_tokens", "seed", "temperature")  # of requests to a judge, beside its messages


@dataclass(frozen=True, kw_only=True)
class Bench:
    """GEdit-Bench, ImgEdit-Bench and others: data, models and stages."""

    suites: tuple[str, ...] = setting(
        ("gedit", "imgedit"), "Suites: gedit, imgedit (nine families), uge, multiturn, rise", decides="benchmark scores"
    )
    stages: tuple[str, ...] = setting(
        STAGES, "Stages to run; leave generate out if other programs' edits lie in <bench.dir>", decides=NOTHING
    )
    models: tuple[str, ...] = setting(
        MODELS, "Names that evaluate uses, or NAME:FOLDER of a diffusers edit pipeline", decides=NOTHING
    )
    dir: str = setting(
        "", "Folder of edits, replies and scores in the official layouts; empty = <run.dir>/bench", decides=NOTHING
    )
    gedit: str = setting("", "Parquet file of GEdit-Bench, or the folder of such files", decides="benchmark scores")
    gedit_code: str = setting(
        "", "Checkout of stepfun-ai/Step1X-Edit, for its judge prompts", decides="benchmark scores"
    )
    languages: tuple[str, ...] = setting(("en",), "Languages of GEdit-Bench: en, cn", decides="benchmark scores")
    imgedit: str = setting(
        "", "ImgEdit's Benchmark.tar, or the folder it unpacks to, for its images", decides="benchmark scores"
    )
    imgedit_code: str = setting(
        "", "Checkout of PKU-YuanGroup/ImgEdit, for its items and judge prompts", decides="benchmark scores"
    )
    multiturn: str = setting(
        "", "JSON file, or folder of them, of {key: {id, turn1, turn2, turn3}}", decides="benchmark scores"
    )
    rise: str = setting("", "RISEBench's JSON file with data/ beside it, or their folder", decides="benchmark scores")
    rise_code: str = setting("", "Checkout of PhoenixZ810/RISEBench, for its judge prompts", decides="benchmark scores")
    rubrics: Literal["official", "given", "own", "editscore"] = setting(
        "official",
        "Judge prompts: official, the checkout's whatever their hash (given), ours (own), or those of the "
        "editscore package for GEdit; given and own make unofficial scores",
        decides="benchmark scores",
    )
    passes: int = setting(
        1,
        "Replies to each question, averaged; with more than one the interval holds the judge's own noise",
        decides="benchmark scores",
    )
    limit: int = setting(0, "First items of each group to use, without a headline; 0 = all", decides="benchmark scores")
    force: bool = setting(
        False,
        "Whether to give headlines, marked as forced, though items failed or are missing",
        decides="benchmark scores",
    )
    steps: int = setting(
        0,
        "Sampling steps of other pipelines, ours take sample.steps; 0 = the pipeline's default",
        decides="foreign edits",
    )
    guidance: float = setting(
        -1.0,
        "Guidance scale of other pipelines, ours take sample.guidance; below 0 = the pipeline's default",
        decides="foreign edits",
    )
    batch: int = setting(
        8, "Edits of our models in one forward, which decides their last bits", decides="benchmark edits"
    )
    actors: int = setting(2, "Actors that edit side by side", decides=NOTHING)
    gpus: int = setting(0, "GPUs of each of these actors", decides=NOTHING)
    draws: int = setting(2000, "Draws of the bootstrap behind a 95 % interval", decides="benchmark scores")
    gallery: int = setting(200, "Edits shown on the page, spread over groups and scores; 0 = all", decides=NOTHING)
    pairs: str = setting(
        "", "Pairs for v4e preservation: JSON Lines, or PIE-Bench's mapping_file.json", decides="benchmark scores"
    )
    edits: str = setting(
        "",
        "Edits of other programs to judge, as NAME:FOLDER, separated by commas; for v4e preservation the folder of "
        "PIE-Bench's edits",
        decides="benchmark scores",
    )
    clip: str = setting(
        "",
        "Folder of CLIP (ViT-B/32) in transformers' layout; empty = no CLIP-I, CLIP-T and CLIP-dir",
        decides="benchmark scores",
    )
    dino: str = setting("", "Folder of dino-vits16; empty = no DINO", decides="benchmark scores")
    pie_clip: str = setting(
        "", "Folder of CLIP (ViT-L/14) for PIE-Bench; empty = none of its CLIP similarities", decides="benchmark scores"
    )
    pie_dino: str = setting(
        "", "Folder of dino-vitb8 for PIE-Bench; empty = no structure distance", decides="benchmark scores"
    )
    lpips: str = setting(
        "", "Folder of torch.hub with torchvision's SqueezeNet; empty = no LPIPS", decides="benchmark scores"
    )
    against: str = setting(
        "", "bench.dir of an earlier run, against which the report shows what got worse", decides=NOTHING
    )

    def __post_init__(self):
        for name, allowed in (("suites", SUITES), ("stages", STAGES), ("languages", LANGUAGES)):
            unknown = [value for value in getattr(self, name) if value not in allowed]
            require(
                not unknown and len(getattr(self, name)) > 0,
                f"bench.{name}={','.join(getattr(self, name))}: expected one or more of {', '.join(allowed)}",
            )
        names = [name for name, _ in self.named]
        require(
            len(set(names)) == len(names) > 0 and all(n and "/" not in n and not n.startswith(".") for n in names),
            f"bench.models={','.join(self.models)}: expected distinct names, or NAME:FOLDER, e.g. "
            "ema,kontext:black-forest-labs/FLUX.1-Kontext-dev",
        )
        require(math.isfinite(self.guidance), f"bench.guidance={self.guidance}: expected a number")
        check(self, AT_LEAST_1, "passes", "batch", "actors", "draws")
        check(self, NOT_NEGATIVE, "limit", "steps", "gpus", "gallery")

    @property
    def named(self) -> list[tuple[str, str]]:
        """The (name, folder) of each model. The folder is empty for evaluate's models and for edits made elsewhere.

        Where edits are brought, they stand for the default models.
        """
        split = [entry.partition(":") for entry in self.models]
        models = [(name, folder) for name, _, folder in split]
        brought = [(name, "") for name in self.brought]
        return brought + models if not brought or self.models != MODELS else brought

    @property
    def brought(self) -> dict[str, str]:
        """The folder of each program's edits that were made elsewhere."""
        split = [entry.strip().partition(":") for entry in self.edits.split(",")]
        return {name: folder for name, _, folder in split if folder}


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The judge that scores the edits."""

    kind: Literal["openai", "vllm", "fake"] = setting(
        "openai",
        "An endpoint that speaks OpenAI's API, a model on vLLM, or a fake for tests",
        decides="benchmark scores",
    )
    model: str = setting(
        "gpt-4.1",
        "Name at the endpoint; with vllm, folder or hub id of a vision-language model",
        decides="benchmark scores",
    )
    url: str = setting(
        "",
        "Address of the endpoint, with /v1; empty = OPENAI_BASE_URL, or OpenAI's own. OPENAI_API_KEY holds its key",
        decides="benchmark scores",
    )
    lora: str = setting("", "Folder of adapters for vllm, such as EditScore's", decides="benchmark scores")
    order: Literal["text_first", "images_first"] = setting(
        "text_first",
        "Order of text and images; official is text first with GPT-4.1, images first with Qwen2.5-VL",
        decides="benchmark scores",
    )
    max_tokens: int = setting(
        0,
        "Longest reply in tokens; 0 = the official 1400 of GEdit (512 with images first) or 4096 of RISEBench, and no "
        "limit for ImgEdit",
        decides="benchmark scores",
    )
    temperature: float = setting(
        -1.0,
        "Temperature of replies; below 0 = as officially: not sent, but 0 for RISEBench (vllm is greedy then)",
        decides="benchmark scores",
    )
    parameters: tuple[str, ...] = setting(
        (),
        "Parameters of requests under other names, or left out, for judges that refuse them, such as "
        "max_tokens:max_completion_tokens,seed:",
        decides="benchmark scores",
    )
    retries: int = setting(
        3, "Times to ask again for a reply that cannot be read, before the item fails", decides="benchmark scores"
    )
    ask_failed: bool = setting(
        False, "Whether to ask again about items that failed in an earlier run", decides="benchmark scores"
    )
    give_up: int = setting(20, "Questions in a row without a reply after which the run stops", decides=NOTHING)
    parallel: int = setting(8, "Requests open at the endpoint", decides=NOTHING)
    engines: int = setting(1, "Engines of vllm that answer side by side", decides=NOTHING)
    batch: int = setting(16, "Questions in one call of a vllm engine", decides=NOTHING)
    gpus: int = setting(0, "GPUs of a vllm engine", decides=NOTHING)
    timeout_s: float = setting(180.0, "Seconds allowed for one reply, or for one batch with vllm", decides=NOTHING)
    price_in: float = setting(
        0.0, "Dollars for a million tokens read, for the estimate before a run; 0 = unknown", decides=NOTHING
    )
    price_out: float = setting(0.0, "Dollars for a million tokens written", decides=NOTHING)
    reply_s: float = setting(5.0, "Seconds that a reply is expected to take, for the estimate", decides=NOTHING)
    max_cost: float = setting(0.0, "Dollars above which an estimated run is refused; 0 = no limit", decides=NOTHING)

    def __post_init__(self):
        require(bool(self.model.strip()), "judge.model= is empty: name the judge, e.g. judge.model=gpt-4.1")
        require(math.isfinite(self.temperature), f"judge.temperature={self.temperature}: expected a number")
        check(self, AT_LEAST_1, "parallel", "engines", "batch", "give_up")
        unknown = [one for one in self.parameters if ":" not in one or one.split(":")[0] not in PARAMETERS]
        require(
            not unknown,
            f"judge.parameters={','.join(self.parameters)}: expected NAME:OTHER, or NAME: to leave it out, of "
            f"{', '.join(PARAMETERS)}",
        )
        check(self, NOT_NEGATIVE, "max_tokens", "retries", "gpus", "price_in", "price_out", "max_cost")
        check(self, POSITIVE, "timeout_s", "reply_s")
        require(
            self.max_cost == 0 or self.price_in > 0,
            f"judge.max_cost={self.max_cost} needs judge.price_in and judge.price_out: costs cannot be estimated",
        )

    @property
    def names(self) -> dict[str, str]:
        """The names of parameters at the endpoint, where they differ; "" for one that is left out."""
        return dict(entry.split(":", 1) for entry in self.parameters)

    @property
    def threads(self) -> int:
        """The number of calls of the judge at one time."""
        return self.engines if self.kind == "vllm" else self.parallel

    @property
    def chunk(self) -> int:
        """The number of questions in one call."""
        return self.batch if self.kind == "vllm" else 1

    @property
    def backbone(self) -> str:
        """The name of the judge's folder. Official names let the official scripts find the scores."""
        if self.kind == "fake":
            return "fake"
        official = {"gpt-4.1": "gpt4o", "Qwen2.5-VL-72B-Instruct-AWQ": "qwen25vl"}
        name = self.model.rstrip("/").rsplit("/", 1)[-1]
        return official.get(name, "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("."))
