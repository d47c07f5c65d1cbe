"""A judge's reply without its thinking, in which models put drafts of scores before the answer."""

import re

NAMES = "think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad|begin_of_thought"
OPENING = re.compile(rf"<\|?(?:{NAMES})\b[^<>]*>|\[THINK\]|◁think▷|<\|channel\|>(?:analysis|commentary)", re.IGNORECASE)
CLOSING = re.compile(
    rf"</\|?(?:{NAMES})\s*\|?>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final(?:<\|message\|>)?",
    re.IGNORECASE,
)
ENDS = re.compile(r"<\|(?:end|return|im_end|eot_id|begin_of_solution|end_of_solution)\|>|</?answer>", re.IGNORECASE)


def answer(text: str) -> str:
    """Returns what follows the last end of thinking in `text`; "" where thinking begins and does not end.

    The beginning may be missing: some chat templates put it into the prompt. Without thinking, it is `text` itself.
    """
    closed = [match.end() for match in CLOSING.finditer(text)]
    rest = text[closed[-1] :] if closed else text
    if OPENING.search(rest):
        return ""
    return ENDS.sub("", rest).strip() if closed else rest
