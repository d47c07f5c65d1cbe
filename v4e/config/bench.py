"""What a benchmark run is: which suites and models, whose edits, which judge."""

import math
from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require

SUITES = ("gedit", "imgedit", "uge", "multiturn")
STAGES = ("generate", "judge", "report")
LANGUAGES = ("en", "cn")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """GEdit-Bench and ImgEdit-Bench: data, models, what is done with them."""

    suites: tuple[str, ...] = ("gedit", "imgedit")  # of gedit, imgedit (nine families), uge, multiturn
    stages: tuple[str, ...] = STAGES  # leave generate out where the edits of other programs lie in <bench.dir>
    models: tuple[str, ...] = ("ema", "native_i2v")  # evaluate.py's names, or NAME:FOLDER of a diffusers edit pipeline
    dir: str = ""  # edits, replies and scores in the official layouts; "" = <run.dir>/bench
    gedit: str = ""  # GEdit-Bench's Parquet file, or the folder of them
    gedit_code: str = ""  # checkout of stepfun-ai/Step1X-Edit: its judge prompts
    languages: tuple[str, ...] = ("en",)  # of GEdit-Bench: en, cn
    imgedit: str = ""  # ImgEdit's Benchmark.tar, or the folder that it unpacks to: its images
    imgedit_code: str = ""  # checkout of PKU-YuanGroup/ImgEdit: its items and judge prompts
    multiturn: str = ""  # JSON file, or folder of them, of {key: {id, turn1, turn2, turn3}}
    rubrics: Literal["official", "given", "own", "editscore"] = "official"  # given = the checkout's whatever their
    # hash, own = worded by us: both make unofficial scores; editscore = of the editscore package, for GEdit
    passes: int = 1  # replies to each question of editscore, averaged
    limit: int = 0  # first items of each group only; 0 = all. With a limit there is no headline
    force: bool = False  # give headlines though items failed or are missing, marked so
    steps: int = 0  # of foreign pipelines; 0 = the pipeline's default. Ours take sample.steps
    guidance: float = -1.0  # likewise; below 0 = the pipeline's default
    batch: int = 8  # edits of our models a forward
    actors: int = 2  # that edit side by side
    gpus: int = 0  # of each of them
    draws: int = 2000  # of the bootstrap behind a 95 % interval
    gallery: int = 200  # edits in the page, spread over groups and scores; 0 = all
    pairs: str = ""  # of pipelines/preservation.py: JSON Lines of pairs, or PIE-Bench's mapping_file.json
    edits: str = ""  # folder of the edits of PIE-Bench
    clip: str = ""  # folder of CLIP (ViT-B/32) in transformers' layout; "" = without CLIP-I, CLIP-T, CLIP-dir
    dino: str = ""  # folder of dino-vits16; "" = without DINO
    pie_clip: str = ""  # folder of CLIP (ViT-L/14) for PIE-Bench; "" = without its CLIP similarities
    pie_dino: str = ""  # folder of dino-vitb8 for PIE-Bench; "" = without its structure distance
    lpips: str = ""  # torch.hub's folder with torchvision's SqueezeNet; "" = without LPIPS
    against: str = ""  # bench.dir of an earlier run: the report shows what got worse

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
        """(name, folder) of each model; the folder is empty for those of evaluate.py, and for edits made elsewhere."""
        split = [entry.partition(":") for entry in self.models]
        return [(name, folder) for name, _, folder in split]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Who scores the edits."""

    kind: Literal["openai", "vllm", "fake"] = "openai"  # an endpoint that speaks OpenAI's API; fake is for tests
    model: str = "gpt-4.1"  # vllm: folder or hub id of a vision-language model
    url: str = ""  # of the endpoint, with /v1; "" = OPENAI_BASE_URL, or OpenAI's own. Its key is OPENAI_API_KEY
    lora: str = ""  # vllm: folder of adapters, as EditScore's
    order: Literal["text_first", "images_first"] = "text_first"  # official: text with GPT-4.1, images with Qwen2.5-VL
    max_tokens: int = 0  # of a reply; 0 = GEdit's official 1400, or 512 with images first; none for ImgEdit
    temperature: float = -1.0  # below 0 = not sent, as the official code; vllm then is greedy
    retries: int = 3  # of a reply that cannot be read; then the item has failed
    ask_failed: bool = False  # ask again what failed in an earlier run
    parallel: int = 8  # requests under way
    engines: int = 1  # vllm: that answer side by side
    batch: int = 16  # vllm: questions an engine call
    gpus: int = 0  # vllm: of an engine
    timeout_s: float = 180.0  # for one reply (vllm: for one batch)
    price_in: float = 0.0  # dollars a million tokens read, for the estimate before the run; 0 = unknown
    price_out: float = 0.0  # dollars a million tokens written
    reply_s: float = 5.0  # seconds a reply is expected to take, for the estimate
    max_cost: float = 0.0  # dollars: a run that is estimated above it is refused; 0 = no limit

    def __post_init__(self):
        require(bool(self.model.strip()), "judge.model= is empty: name the judge, e.g. judge.model=gpt-4.1")
        require(math.isfinite(self.temperature), f"judge.temperature={self.temperature}: expected a number")
        check(self, AT_LEAST_1, "parallel", "engines", "batch")
        check(self, NOT_NEGATIVE, "max_tokens", "retries", "gpus", "price_in", "price_out", "max_cost")
        check(self, POSITIVE, "timeout_s", "reply_s")
        require(
            self.max_cost == 0 or self.price_in > 0,
            f"judge.max_cost={self.max_cost} needs judge.price_in and judge.price_out: costs cannot be estimated",
        )

    @property
    def threads(self) -> int:
        """Calls of the judge under way."""
        return self.engines if self.kind == "vllm" else self.parallel

    @property
    def chunk(self) -> int:
        """Questions a call."""
        return self.batch if self.kind == "vllm" else 1

    @property
    def backbone(self) -> str:
        """Name of its folder: the official one where there is one, so that the official scripts find the scores."""
        if self.kind == "fake":
            return "fake"
        official = {"gpt-4.1": "gpt4o", "Qwen2.5-VL-72B-Instruct-AWQ": "qwen25vl"}
        name = self.model.rstrip("/").rsplit("/", 1)[-1]
        return official.get(name, "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("."))
