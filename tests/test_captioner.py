"""The ICG: its choice among answers, and a real vLLM on the real SmolLM2 in real Ray actors."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from v4e.captions import check_caption
from v4e.config import Caption
from v4e.gguf import cache_dir, model_name, packaged_smollm2, resolve_model, to_hf
from v4e.icg import Request, write
from v4e.prompts import UNLABELLED, caption_prompt, label_prompt, prompt_hash
from v4e.tasks import TASKS

GOOD = "The red circle gradually turns blue."
REQUEST = Request(instruction="make the red circle blue", task="color")


class Engine:
    """Gives scripted texts instead of a model's, and remembers what it was asked."""

    def __init__(self, greedy: str, *sampled: str):
        self.greedy, self.sampled, self.calls = greedy, list(sampled), []

    def ask(self, prompts: list[str], samples: int) -> list[list[str]]:
        self.calls.append((len(prompts), samples))
        return [[self.greedy] if samples == 1 else self.sampled for _ in prompts]

    def label(self, instructions: list[str]) -> list[str]:
        return ["style" for _ in instructions]


def test_a_good_first_answer_is_taken_and_closed_by_us():
    engine = Engine(f" {GOOD[:-1]}, while the dog barks.")
    (written,) = write([REQUEST], engine.ask, engine.label, candidates=4)
    assert (written.origin, written.checks, written.task_source) == ("llm", (), "corpus")
    assert written.caption == (
        "The red circle gradually turns blue, while reflections and all other elements remain consistent."
    )
    assert engine.calls == [(1, 1)]


def test_samples_are_asked_only_for_rows_that_failed():
    engine = Engine(GOOD, "The red circle turns.", "The circle gradually turns blue.", "The fox slowly turns blue.")
    other = Request(instruction="make the circle blue", task="color")  # GOOD invents its red
    first, second = write([REQUEST, other], engine.ask, engine.label, candidates=4)
    assert (first.origin, second.origin) == ("llm", "retry")
    assert second.caption.startswith("The circle gradually turns blue, while")
    assert engine.calls == [(2, 1), (1, 3)]


def test_template_is_the_fallback():
    engine = Engine("nonsense", "more nonsense", "")
    (written,) = write([REQUEST], engine.ask, engine.label, candidates=3, refined=True)
    assert written.origin == "template" and written.checks == ()
    assert written.caption.startswith("The red circle's color gradually shifts to blue, while reflections")
    assert written.caption.endswith("temporally coherent.")
    (single,) = write([REQUEST], engine.ask, engine.label, candidates=1)
    assert single.origin == "template" and engine.calls[-1] == (1, 1)


def test_one_question_for_equal_edits_and_one_for_each_atomic_edit():
    engine = Engine(GOOD, "x", "The tree gradually fades away.")
    both = Request(instruction="make the red circle blue and remove the tree", task="color")
    rows = write([REQUEST, REQUEST, both], engine.ask, engine.label, candidates=3)
    assert engine.calls == [(2, 1), (1, 2)]
    assert rows[0] == rows[1] and rows[2].origin == "retry"
    assert rows[2].caption == (
        "The red circle gradually turns blue, then the tree gradually fades away, while everything else remains still."
    )


def test_labels_come_from_corpus_then_rules_then_model():
    engine = Engine("x", "x")
    asked = [REQUEST, Request(instruction="remove the tree"), Request(instruction="surprise me")]
    rows = write(asked, engine.ask, engine.label, candidates=1)
    assert [(row.task, row.task_source) for row in rows] == [
        ("color", "corpus"),
        ("removal", "rules"),
        ("style", "llm"),
    ]
    with pytest.raises(ValueError, match="empty"):
        write([Request(instruction=" ")], engine.ask, engine.label, candidates=1)
    with pytest.raises(ValueError, match="expected one of addition"):
        write([Request(instruction="x", task="attribute_modification")], engine.ask, engine.label, candidates=1)


def test_prompts_hold_the_instruction_last():
    assert caption_prompt("do this", "tone").endswith("Instruction: do this\nCaption:")
    prompt = label_prompt("do this")
    assert prompt.endswith("Instruction: do this\nCategory:")
    assert all(prompt.count(f"Category: {task}\n") == 2 for task in TASKS)
    assert len(UNLABELLED) == 2 * len(TASKS)
    assert prompt_hash("a", 1) == prompt_hash("a", 1) != prompt_hash("a", 2)


def test_models_are_named_by_content(tmp_path: Path):
    assert resolve_model("org/model") == model_name("org/model") == "org/model"
    one, two = tmp_path / "m.gguf", tmp_path / "n.gguf"
    one.write_bytes(b"weights")
    two.write_bytes(b"others")
    assert model_name(str(one)).startswith("m-") and model_name(str(one))[2:] != model_name(str(two))[2:]
    with pytest.raises(FileNotFoundError, match=r"set caption\.model"):
        model_name(str(tmp_path / "none.gguf"))


@pytest.mark.slow
def test_conversion_keeps_the_weights_of_the_gguf():
    import numpy as np
    from gguf import GGUFReader, dequantize
    from safetensors import safe_open

    folder = to_hf(packaged_smollm2())
    assert folder.is_relative_to(cache_dir()) and folder == to_hf(packaged_smollm2())
    reader = GGUFReader(packaged_smollm2())
    stored = {tensor.name: tensor for tensor in reader.tensors}
    pairs = {  # weights that GGUF does not permute
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.7.ffn_up.weight": "model.layers.7.mlp.up_proj.weight",
        "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
    }
    with safe_open(folder / "model.safetensors", "pt") as weights:
        for theirs, ours in pairs.items():
            exact = dequantize(stored[theirs].data, stored[theirs].tensor_type)
            got = weights.get_tensor(ours).float().numpy()
            assert np.abs(got - exact).max() <= 2**-8 * np.abs(exact).max()  # bfloat16 rounding


@pytest.mark.slow
@pytest.mark.ray
def test_smollm2_captions_survive_sigkill_and_repeat(cluster):
    from actors.captioner import write_batches

    asked = [
        Request(instruction=f"{verb} the {color} {thing}", task=task)
        for verb, task in (("remove", "removal"), ("erase", "removal"))
        for color in ("red", "green", "purple", "white")
        for thing in ("lamp", "fox", "boat")
    ]
    asked += [
        Request(instruction="make the red circle blue", task="color"),
        Request(instruction="change the sign to say GO"),
        Request(instruction="a bit more drama please"),  # no rule knows it
        Request(instruction="replace the red circle with a green star", task="replacement"),
    ]
    batches = [(0, asked[:14]), (1, asked[14:])]
    config = Caption(candidates=4)
    whole = {batch.index: batch for batch in write_batches(batches, config)}
    rows = [row for index in (0, 1) for row in whole[index].written]
    assert sum(row.origin != "template" for row in rows) >= 20
    for request, row in zip(asked, rows, strict=True):
        if row.origin != "template":
            assert row.checks == () and check_caption(row.caption, request.instruction, row.task) == []
        assert ", while " in row.caption and row.task in TASKS
    assert [row.task_source for row in rows[-3:]] == ["rules", "llm", "corpus"]
    assert all(batch.tokens > 0 for batch in whole.values())

    killer = threading.Thread(target=_kill_first_captioner)
    killer.start()
    again = {batch.index: batch for batch in write_batches(batches, config)}
    killer.join()
    assert KILLED and [row for index in (0, 1) for row in again[index].written] == rows


KILLED: list[int] = []


def _kill_first_captioner() -> None:
    """SIGKILLs the captioner's process once its engine is up: its resident memory tells."""
    limit = time.monotonic() + 240
    while time.monotonic() < limit:
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text, command = status.read_text(), (status.parent / "cmdline").read_text()
            except OSError:
                continue
            resident = [int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")]
            loaded = bool(resident) and resident[0] > 700_000  # KiB
            pid = int(status.parent.name)
            if loaded and command.startswith("ray::Captioner.write") and _is_ours(pid):
                os.kill(pid, signal.SIGKILL)
                KILLED.append(pid)
                return
        time.sleep(0.2)


def _is_ours(pid: int) -> bool:
    """Whether ``pid`` descends from this test's process."""
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return False


@pytest.mark.slow
@pytest.mark.ray
def test_a_captioner_that_does_not_answer_ends_in_an_error(cluster):
    from actors.captioner import write_batches

    with pytest.raises(TimeoutError, match=r"raise caption\.timeout_s"):
        list(write_batches([(0, [REQUEST])], Caption(timeout_s=0.5)))


@pytest.mark.slow
@pytest.mark.ray
def test_a_model_that_is_not_there_ends_in_an_error(cluster, tmp_path: Path):
    from actors.captioner import write_batches

    with pytest.raises(RuntimeError, match="captioner"):
        list(write_batches([(0, [REQUEST])], Caption(model=str(tmp_path))))
