"""Prompts of the Instruction-to-Caption Generator: a header, and a few worked examples of each task."""

import hashlib
import json
from dataclasses import dataclass

from v4e.language.tasks import TABLE1, TASKS

# section 3.2, step 1
HEADER = (
    "Convert the edit instruction into a short prompt for video generation. Describe the change as it "
    "happens over time, not only the final state. Name nothing that the instruction does not name. Answer in JSON."
)
# what the decoder is held to: structured output of vLLM, response_format of an OpenAI-compatible server. No lengths: a
# grammar that counts characters is 75 times as large and takes seconds to compile, and the checks hold captions short
ANSWER: dict = {
    "type": "object",
    "properties": {"caption": {"type": "string"}},
    "required": ["caption"],
    "additionalProperties": False,
}
# their nouns do not occur in the evolution world, so that a copied example is noticed by the checks
DEMOS: dict[str, tuple[tuple[str, str], ...]] = {
    "addition": (
        ("add a red balloon above the boy", "A red balloon gradually appears above the boy."),
        ("put a small chair at the back", "A small chair gradually appears at the back."),
        ("draw a white kite top center", "A white kite gradually appears at the top center."),
        ("insert a brown bag center left", "A brown bag gradually appears at the center left."),
        ("there should be a gray cat at the front", "A gray cat gradually appears at the front."),
    ),
    "removal": (
        ("remove the trash can on the left", "The trash can on the left gradually fades away."),
        ("delete the black bag", "The black bag gradually fades away."),
        ("get rid of the lamp", "The lamp gradually fades away."),
        ("erase the white dog under the table", "The white dog under the table gradually fades away."),
        ("take the brown hat away", "The brown hat gradually fades away."),
    ),
    "replacement": (
        ("replace the mug with a teacup", "The mug gradually turns into a teacup."),
        ("swap the brown dog for a gray cat", "The brown dog gradually turns into a gray cat."),
        ("turn the white truck into a white bike", "The white truck gradually turns into a white bike."),
        ("change the lamp to a black candle", "The lamp gradually turns into a black candle."),
    ),
    "background": (
        ("change the background to a garden", "The background slowly transforms into a garden scene."),
        ("put the scene in a library", "The background slowly transforms into a library scene."),
        ("set the background to a kitchen scene", "The background slowly transforms into a kitchen scene."),
        ("replace the background with an office", "The background slowly transforms into an office scene."),
    ),
    "color": (
        ("make the white car black", "The white car gradually turns black."),
        ("paint the fence brown", "The fence gradually turns brown."),
        ("change the door's color to gray", "The door gradually turns gray."),
        ("recolor the brown chair to white", "The brown chair gradually turns white."),
        ("make the black lamp gray", "The black lamp gradually turns gray."),
    ),
    "material": (
        ("turn the sofa into leather", "The sofa's texture gradually becomes leather."),
        ("make the white cup wooden", "The white cup's texture gradually becomes wooden."),
        ("give the door a marble texture", "The door's texture gradually becomes marble."),
        ("make the brown box steel", "The brown box's texture gradually becomes steel."),
        ("change the material of the wall to brick", "The wall's texture gradually becomes brick."),
    ),
    "text": (
        ("change text to 'OPEN'", "The sign's text gradually changes to 'OPEN'."),
        ("make the poster say SALE", "The poster's text gradually changes to SALE."),
        ("write MENU on the board", "The board's text gradually changes to MENU."),
        ('replace the word on the cup with "MILK"', 'The cup\'s text gradually changes to "MILK".'),
    ),
    "motion": (
        ("raise the person's right hand", "The person's right hand slowly raises."),
        ("lower the flag", "The flag slowly lowers."),
        ("move the white cup to the center", "The white cup gradually moves to the center."),
        ("slide the box to the back", "The box gradually slides to the back."),
        ("shift the gray car to the center", "The gray car gradually shifts to the center."),
        ("turn the head to the left", "The head slowly turns to the left."),
    ),
    "portrait": (
        ("whiten the teeth", "The teeth are gently whitened over time."),
        ("make the beard gray", "The beard gradually turns gray."),
        ("remove the wrinkles", "The wrinkles gradually fade away."),
        ("add black mascara", "Black mascara gradually appears."),
        ("paint the nails white", "The nails gradually turn white."),
    ),
    "style": (
        ("convert to oil painting style", "The scene gradually adopts an oil painting style."),
        ("apply a cartoon style", "The scene gradually adopts a cartoon style."),
        ("make it look like a comic", "The scene gradually adopts a comic style."),
        ("turn the photo into a woodcut", "The scene gradually adopts a woodcut style."),
    ),
    "tone": (
        ("apply a vintage cinematic grade", "The image gradually shifts to a vintage cinematic grade."),
        ("make it foggy", "The image gradually becomes foggy."),
        ("give the photo a soft tone", "The image gradually shifts to a soft tone."),
        ("make the picture dimmer", "The image gradually becomes dimmer."),
    ),
}
# seen without labels, only to measure how much a model likes each label by itself
UNLABELLED: tuple[str, ...] = (
    "put a wooden bench under the tree",
    "let a small bird sit on the roof",
    "take the cables out of the shot",
    "clean up the litter on the grass",
    "have a pony where the cow is",
    "use a bowl rather than the plate",
    "let it take place in a cave",
    "show a stadium behind them",
    "I'd like the van in dark gray",
    "the curtains could be cream",
    "the table top could be slate",
    "have the jacket in corduroy",
    "the banner should announce the WINNER",
    "correct the name on the badge to ANNA",
    "the dog should roll over",
    "let her clasp both hands",
    "less shine on the forehead",
    "a fresher look for her face",
    "as if drawn by a child",
    "in the manner of an old fresco",
    "as on a hazy morning",
    "a gloomy evening feel",
)


@dataclass(frozen=True)
class Prompt:
    """A header, worked examples (question, answer), and a question: as one text, or as messages of a chat."""

    header: str
    examples: tuple[tuple[str, str], ...]
    question: str

    def text(self) -> str:
        """Returns the prompt of a model that continues a text."""
        shown = "".join(f"{question}\nJSON: {answer}\n\n" for question, answer in self.examples)
        return f"{self.header}\n\n{shown}{self.question}\nJSON:"

    def messages(self) -> list[dict[str, str]]:
        """Returns the messages of a chat model."""
        shown = [
            {"role": role, "content": content}
            for example in self.examples
            for role, content in zip(("user", "assistant"), example, strict=True)
        ]
        return [{"role": "system", "content": self.header}, *shown, {"role": "user", "content": self.question}]


def caption_prompt(instruction: str, task: str, refused: str = "", why: str = "") -> Prompt:
    """Returns the prompt of step 1 of the paper's scheme; a `refused` caption is requested again, with the reason.

    The answer is JSON of :data:`ANSWER`, its caption without a closing clause.
    """
    examples = tuple((f"Instruction: {text}", answer(caption)) for text, caption in DEMOS[task])
    question = f"Instruction: {instruction}"
    if refused:
        question += f"\nRefused: {answer(refused)}\nWrite it so that {why}."
    return Prompt(HEADER, examples, question)


def answer(caption: str) -> str:
    """Returns the JSON of :data:`ANSWER` that holds a caption."""
    return json.dumps({"caption": caption}, ensure_ascii=False)


def read_answer(text: str) -> str:
    """Reads the caption of an answer; "" if the answer is cut off or no JSON of :data:`ANSWER`."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return ""
    caption = found.get("caption") if isinstance(found, dict) else None
    return " ".join(caption.split()) if isinstance(caption, str) else ""


def label_prompt(instruction: str) -> str:
    """Returns a prompt for one of TASKS, as one word, with examples of all tasks in turn."""
    demos = "".join(f"Instruction: {DEMOS[task][turn][0]}\nCategory: {task}\n\n" for turn in (1, 2) for task in TASKS)
    header = f"Sort each edit instruction into a category: {', '.join(TASKS)}.\n\n"
    return f"{header}{demos}Instruction: {instruction}\nCategory:"


def task_prompt(task: str) -> str:
    """Returns examples of one task, up to the place of the next instruction."""
    demos = "".join(f"Instruction: {text}\n" for text, _ in DEMOS[task][:4])
    return f"{TABLE1[task].label} of an image, edit instructions:\n{demos}Instruction:"


def prompt_hash(*settings: str | int | float | bool) -> str:
    """Returns a hash of everything but the instruction that decides a caption: the prompts and the given settings."""
    text = json.dumps([HEADER, ANSWER, DEMOS, UNLABELLED, settings])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
