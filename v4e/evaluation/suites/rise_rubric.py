"""The questions of RISEBench's judge: about consistency, reasoning and plausibility."""

from pathlib import Path

from PIL import Image

from v4e.config import Bench, Judge
from v4e.evaluation.suites import rise
from v4e.evaluation.suites.items import Picture, Question, Rubric, SuiteItem, encode, open_image
from v4e.evaluation.suites.prompts import again, base, check, digest_of, filled, part, repeated, strings_of

CODE = "utils.py"
SIDE = 768  # pixels, the longest side of an image that is sent
LINE = "Give one integer, {} at worst and {} at best. End with this line:\nFinal Score: N\n"
OWN = {  # by how the official prompts are called
    "cons": "You see an image, then an edit of it. The request was: {instruct}\nDid all else stay as it was?\n",
    "qual": "You see one image. Is it sharp and whole, and could a camera have taken it?\n",
    "img": "You see a right result, then an edited image. The request was: {instruct}\nDo they show the same?\n",
    "ref": "You see an edited image, perhaps after its original. The request was: {instruct}\nThe result should be: "
    "{reference}\nIs it?\n",
}
NAMES = {
    **{f"prompt_{name}": "cons" for name in ("consist", "spatial_cons", "logical_cons_ans", "logical_cons")},
    **{f"prompt_{name}": "qual" for name in ("generation", "spatial_qual")},
    **{f"prompt_{name}": "img" for name in ("spatial_ref_img", "logical_img", "logical_img_wo_q")},
    **{f"prompt_{name}": "ref" for name in ("reasoning", "reasoning_w_input", "spatial_ref", "spatial_ref_w_input")},
    "prompt_logical_txt": "ref",
}


def own_prompts() -> dict[str, str]:
    """Our own wording of the 14 prompts: unofficial, for smoke runs and the fixture."""
    scales = {name: (0, 1) if "logical" in name else (1, 5) for name in NAMES}
    return {name: OWN[kind] + LINE.format(*scales[name]) for name, kind in NAMES.items()}


def rubric(bench: Bench, judge: Judge) -> Rubric:
    """Returns the rubric: the prompts of ``bench.rise_code``, or our own.

    Raises:
        FileNotFoundError: the checkout has not the prompts.
        ValueError: they are not the official ones, and ``bench.rubrics`` is official.
    """
    if bench.rubrics == "own":
        prompts = own_prompts()
    else:
        file = Path(bench.rise_code) / CODE
        if not bench.rise_code or not file.is_file():
            raise FileNotFoundError(
                f"bench.rise_code={bench.rise_code}: no {CODE}; expected a checkout of PhoenixZ810/RISEBench, or set "
                "bench.rubrics=own for an unofficial smoke run"
            )
        found = strings_of(file)
        prompts = {name: part(found, name, file) for name in NAMES}
    hashes = {"rise": digest_of(prompts)}
    check(bench, hashes, "rise_code")

    def build(item: SuiteItem, kind: str) -> Question:
        what = base(kind)
        paired = what == "consistency" or (what == "reasoning" and "shown" in item.facts)
        places = [item.facts["first"], item.edited] if paired else [item.edited]
        name = item.facts[what]
        return Question(
            text=filled(name, prompts[name], instruct=item.instruction, reference=item.facts["reference"]),
            pictures=tuple(_small(open_image(place)) for place in places),
            images_first=judge.order == "images_first",
            max_tokens=judge.max_tokens or 4096,
            temperature=0.0 if judge.temperature < 0 else judge.temperature,
            again=again(kind),
            reply_tokens=200,  # an explanation, step by step
        )

    def read(text: str, item: SuiteItem, kind: str) -> list[float] | None:
        return rise.read_reply(text, 0 if item.group == rise.LOGICAL else 1)

    kinds = repeated(rise.KINDS, bench.passes)
    return Rubric(name=bench.rubrics, kinds=kinds, build=build, read=read, hashes=hashes)


def _small(image: Image.Image) -> Picture:
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return encode(image, "jpeg")
