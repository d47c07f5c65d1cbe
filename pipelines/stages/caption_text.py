"""Shows how an instruction is read, and its caption by the templates: v4e caption "remove the dog".

The language model of ``v4e caption`` may word the caption in another way.
"""

from v4e.captions.templates import part_task, template_caption
from v4e.config.commands import CaptionTextOptions
from v4e.files.progress import plan
from v4e.language.reader import read
from v4e.language.slots import slots
from v4e.language.tasks import atoms, rule_task


def run(options: CaptionTextOptions) -> None:
    """Prints the reading of one instruction and its caption.

    Raises:
        ValueError: the instruction is empty.
    """
    text = options.instruction
    if not text.strip():
        raise ValueError("the instruction is empty: write what to change")
    found, (task, _) = read(text), rule_task(text)
    shown = {"task": found.task, "sure": f"{'yes' if found.sure else 'no'}, {100 * found.chance:.0f} %"}
    parts = atoms(text)
    for number, part in enumerate(parts, 1):
        own = part_task(part, task, alone=len(parts) == 1)
        named = slots(part, own) if own else None
        said = {"object": named.source, "target": named.target, "place": named.place} if named else {}
        slot = ", ".join(f"{name}: {value}" for name, value in said.items() if value)
        shown[f"edit {number}"] = f"{own or 'none of the 11 tasks'}: {part}{f' ({slot})' if slot else ''}"
    shown |= {
        "keeps": "; ".join(found.keeps) or "-",
        "quoted": ", ".join(found.quoted) or "-",
        "language": found.language,
    }
    shown["caption"] = template_caption(text, task) if task else "none: the edit is none of the 11 tasks"
    plan("reading", shown)
