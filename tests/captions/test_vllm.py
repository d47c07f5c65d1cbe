"""The ICG: its choice among answers, and a real vLLM on the real SmolLM2 in real Ray actors."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import psutil
import pytest

from benchmarks.support.result import RESULTS
from tests.support.processes import actors_of_ours, below
from tests.support.wait import until
from v4e.captions.checks import check_caption
from v4e.captions.prompts import (
    ANSWER,
    UNLABELLED,
    Prompt,
    answer,
    caption_prompt,
    label_prompt,
    prompt_hash,
    read_answer,
)
from v4e.captions.small_llm import cache_dir, model_name, packaged_smollm2, resolve_model, to_hf
from v4e.captions.vote import best, label_bias, votes
from v4e.captions.write import CaptionRequest, write
from v4e.config import Caption
from v4e.language.tasks import TASKS

GOOD = "The red circle gradually turns blue."
REQUEST = CaptionRequest(instruction="make the red circle blue", task="color")


class Engine:
    """Gives scripted texts instead of a model's, and remembers what it was asked."""

    def __init__(self, greedy: str, *sampled: str, retried: tuple[str, ...] = ()):
        self.greedy, self.sampled, self.retried = greedy, sampled, retried
        self.calls: list[tuple[int, int]] = []
        self.prompts: list[Prompt] = []

    def ask(self, prompts: list[Prompt], samples: int) -> list[list[str]]:
        self.calls.append((len(prompts), samples))
        self.prompts += prompts
        return [[answer(text) for text in self._texts(prompt, samples)] for prompt in prompts]

    def _texts(self, prompt: Prompt, samples: int) -> Sequence[str]:
        if "Refused: " in prompt.question:
            return self.retried
        return [self.greedy] if samples == 1 else self.sampled

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        return [[float(word == "style") for word in words] for _ in prompts]

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        return [float("Style" in context) for context, _ in pairs]


BIAS = [0.0] * len(TASKS)


def test_a_good_first_answer_is_taken_and_closed_by_us():
    engine = Engine(f" {GOOD[:-1]}, while the dog barks.")
    (written,) = write([REQUEST], engine, lambda: BIAS, candidates=4)
    assert (written.origin, written.checks, written.label.source) == ("llm", (), "corpus")
    assert written.caption == (
        "The red circle gradually turns blue, while reflections and all other elements remain consistent."
    )
    assert engine.calls == [(1, 1)]


def test_samples_are_asked_only_for_rows_that_failed():
    engine = Engine(GOOD, "The red circle turns.", "The fox slowly turns blue.", "The circle gradually turns blue.")
    other = CaptionRequest(instruction="make the circle blue", task="color")  # GOOD invents its red
    first, second = write([REQUEST, other], engine, lambda: BIAS, candidates=4)
    assert (first.origin, second.origin) == ("llm", "llm")
    assert second.caption.startswith("The circle gradually turns blue, while")
    assert engine.calls == [(2, 1), (1, 3)]


def test_the_best_of_the_refused_is_asked_for_again_once_with_the_reason():
    engine = Engine("nonsense", "The circle turns blue.", "The dog.", retried=("No.", GOOD, "More."))
    (written,) = write([REQUEST], engine, lambda: BIAS, candidates=3)
    assert (written.origin, written.checks) == ("retry", ())
    assert engine.calls == [(1, 1), (1, 2), (1, 3)]
    asked = engine.prompts[-1].question
    assert 'Refused: {"caption": "The circle turns blue."}' in asked
    assert asked.endswith("Write it so that it says that the change is gradual, it names red.")


def test_answers_that_are_no_json_or_cut_off_are_no_captions():
    assert read_answer(answer("a “b” c")) == "a “b” c"
    for bad in ("", "The red circle", '{"caption": "The red', '{"caption": 3}', "[]", '{"other": "x"}'):
        assert read_answer(bad) == ""


def test_template_is_the_fallback():
    engine = Engine("nonsense", "more nonsense", "", retried=("still nonsense",) * 3)
    (written,) = write([REQUEST], engine, lambda: BIAS, candidates=3, refined=True)
    assert written.origin == "template" and written.checks == ()
    assert written.caption.startswith("The red circle's color gradually shifts to blue, while reflections")
    assert written.caption.endswith("temporally coherent.")
    (single,) = write([REQUEST], engine, lambda: BIAS, candidates=1)
    assert single.origin == "template" and engine.calls[-2:] == [(1, 1), (1, 1)]


def test_one_question_for_equal_edits_and_one_for_each_atomic_edit():
    engine = Engine(GOOD, "x", "The tree gradually fades away.")
    both = CaptionRequest(instruction="make the red circle blue and remove the tree", task="color")
    rows = write([REQUEST, REQUEST, both], engine, lambda: BIAS, candidates=3)
    assert engine.calls == [(2, 1), (1, 2)]
    assert rows[0] == rows[1] and rows[2].origin == "llm"
    assert rows[2].edits == ("make the red circle blue", "remove the tree") and rows[2].turns == ()
    assert rows[2].caption == (
        "The red circle gradually turns blue, then the tree gradually fades away, while everything else remains still."
    )


def test_a_session_gets_a_caption_for_each_turn_and_one_for_all():
    engine = Engine("x", retried=("x",))
    session = CaptionRequest(instruction="of the session", turns=("add a hat", "make it blue"))
    (written,) = write([session], engine, lambda: BIAS, candidates=1)
    assert written.edits == ("add a hat", "make the hat blue")
    assert written.turns == (
        "A hat gradually appears, while everything else remains still.",
        "The hat's color gradually shifts to blue, while everything else remains still.",
    )
    assert written.caption == (
        "A hat gradually appears, then the hat's color gradually shifts to blue, while everything else remains still."
    )


def test_labels_come_from_corpus_then_rules_then_model():
    engine = Engine("x", "x")
    asked = [REQUEST, CaptionRequest(instruction="remove the tree"), CaptionRequest(instruction="surprise me")]
    rows = write(asked, engine, lambda: BIAS, candidates=1)
    assert [(row.label.task, row.label.source) for row in rows] == [
        ("color", "corpus"),
        ("removal", "rules"),
        ("style", "llm"),
    ]
    with pytest.raises(ValueError, match="empty"):
        write([CaptionRequest(instruction=" ")], engine, lambda: BIAS, candidates=1)
    with pytest.raises(ValueError, match="expected one of addition"):
        write([CaptionRequest(instruction="x", task="attribute_modification")], engine, lambda: BIAS, candidates=1)
    (unknown,) = write([asked[2]], engine, list, candidates=1, vote="never")
    assert (unknown.label.task, unknown.caption, unknown.edits) == ("", "", ())


def test_every_label_is_stored_and_agreement_is_of_all_of_them():
    engine = Engine("x")
    asked = [
        REQUEST,
        CaptionRequest(instruction="convert to oil painting style"),
        CaptionRequest(instruction="remove the tree"),
    ]
    rows = write(asked, engine, lambda: BIAS, candidates=1, vote="all")
    assert [(r.label.task, r.label.rule, r.label.llm, r.label.source, r.label.agree) for r in rows] == [
        ("color", "color", "style", "corpus", False),
        ("style", "style", "style", "both", True),
        ("style", "removal", "style", "llm", False),  # as certain in both ways as can be: that outweighs a rule
    ]


def test_likelihoods_are_calibrated_before_they_are_added():
    """A liking of the model for one label, however strong, changes nothing."""
    engine = Engine("x")
    plain = votes(engine, ["surprise me"], BIAS)
    liked = [5.0 if task == "tone" else 0.0 for task in TASKS]

    class Biased(Engine):
        def prefer(self, prompts, words):
            return [[a + b for a, b in zip(row, liked, strict=True)] for row in super().prefer(prompts, words)]

    assert label_bias(Biased("x"))[TASKS.index("tone")] == 5.0
    assert votes(Biased("x"), ["surprise me"], liked) == plain and best(plain[0]) == "style"


def test_prompts_hold_the_instruction_last():
    prompt = caption_prompt("do this", "tone")
    assert prompt.text().endswith("Instruction: do this\nJSON:")
    assert [message["role"] for message in prompt.messages()][:3] == ["system", "user", "assistant"]
    assert prompt.messages()[-1] == {"role": "user", "content": "Instruction: do this"}
    label = label_prompt("do this")
    assert label.endswith("Instruction: do this\nCategory:")
    assert all(label.count(f"Category: {task}\n") == 2 for task in TASKS)
    assert len(UNLABELLED) == 2 * len(TASKS)
    assert prompt_hash("a", 1) == prompt_hash("a", 1) != prompt_hash("a", 2)


def test_the_committed_figures_are_of_these_prompts():
    """Else run benchmarks/data/captions.py again."""
    rows = json.loads((RESULTS / "captions.json").read_text())["rows"]
    assert {row["prompts"] for row in rows} == {prompt_hash()} and len(rows) == 2 * len(TASKS)


@pytest.mark.slow
def test_the_answers_grammar_is_small():
    """A schema with lengths makes it 75 times as large, and seconds of work at every start."""
    import xgrammar
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_model(""))
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(tokenizer), cache_enabled=False)
    assert compiler.compile_json_schema(json.dumps(ANSWER), any_whitespace=False).memory_size_bytes < 200_000


def test_models_are_named_by_content(tmp_path: Path):
    assert resolve_model("org/model") == model_name("org/model") == "org/model"
    one, two = tmp_path / "m.gguf", tmp_path / "n.gguf"
    one.write_bytes(b"GGUF weights")
    two.write_bytes(b"GGUF others")
    assert model_name(str(one)).startswith("m-") and model_name(str(one))[2:] != model_name(str(two))[2:]
    for nothing in ("none.gguf", "", "none"):  # no file, a folder without a model, no folder
        with pytest.raises(FileNotFoundError, match=r"set caption\.model"):
            model_name(str(tmp_path / nothing))
    two.write_bytes(b"others")
    with pytest.raises(ValueError, match="is no GGUF file"):
        model_name(str(two))


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


@pytest.mark.long  # a short form is kill/test_caption.py
@pytest.mark.slow
@pytest.mark.ray
def test_smollm2_captions_survive_sigkill_and_repeat(cluster):
    from actors.llm.pool import write_batches

    asked = [
        CaptionRequest(instruction=f"{verb} the {color} {thing}", task=task)
        for verb, task in (("remove", "removal"), ("erase", "removal"))
        for color in ("red", "green", "purple", "white")
        for thing in ("lamp", "fox", "boat")
    ]
    asked += [
        CaptionRequest(instruction="make the red circle blue", task="color"),
        CaptionRequest(instruction="change the sign to say GO"),
        CaptionRequest(instruction="a bit more drama please"),  # no rule knows it
        CaptionRequest(instruction="replace the red circle with a green star", task="replacement"),
    ]
    parts = (asked[:14], asked[14:])
    killed, found = Event(), []
    for batch in write_batches(enumerate((*parts, *parts)), Caption(candidates=4)):
        found.append(batch)
        if len(found) == 2:  # all of them; the same ones are asked for again, of a captioner that dies meanwhile
            threading.Thread(target=_kill_the_captioner, args=(killed,), daemon=True).start()
    assert [batch.index for batch in found] == [0, 1, 2, 3] and killed.wait(60)
    rows = [row for batch in found[:2] for row in batch.written]
    assert [row for batch in found[2:] for row in batch.written] == rows
    assert sum(row.origin != "template" for row in rows) >= 20
    for request, row in zip(asked, rows, strict=True):
        if row.origin != "template":
            assert row.checks == () and check_caption(row.caption, request.instruction, row.label.task) == []
        assert ", while " in row.caption and row.label.task in TASKS
    assert [row.label.source for row in rows[-3:]] == ["rules", "llm", "corpus"]
    assert all(batch.tokens > 0 for batch in found)


def _kill_the_captioner(killed: Event) -> None:
    """Sends SIGKILL to the process of the captioner while it writes."""
    until(lambda: actors_of_ours("Captioner.write"), timeout_s=240)[0].kill()
    killed.set()


@pytest.mark.slow
@pytest.mark.ray
def test_a_captioner_that_does_not_answer_ends_in_an_error(cluster):
    from actors.llm.pool import write_batches

    with pytest.raises(TimeoutError, match=r"raise caption\.timeout_s"):
        list(write_batches([(0, [REQUEST])], Caption(timeout_s=0.5)))


@pytest.mark.long  # vLLM is imported; an error from the actor's process is also tests/captions/test_pool.py's
@pytest.mark.slow
@pytest.mark.ray
def test_a_model_that_is_not_there_ends_in_an_error(cluster, tmp_path: Path):
    from actors.llm.pool import write_batches

    with pytest.raises(ValueError, match=r"^no captioner starts, see caption\.model: ") as caught:
        list(write_batches([(0, [REQUEST])], Caption(model=str(tmp_path))))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def random_llm(tmp_path_factory) -> Path:
    """A language model of random weights with 4 heads, which two ranks can share; SmolLM2's tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llm")
    tokenizer = AutoTokenizer.from_pretrained(resolve_model(""))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
    )
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.ray
def test_vllm_answers_alike_for_equal_rows(cluster, random_llm: Path):
    """The short form: a model of two layers, whose captions are nonsense, so that every row gets the template."""
    from actors.llm.pool import write_batches

    asked = [CaptionRequest(instruction=f"remove the lamp {n}", task="removal") for n in range(2)]
    config = Caption(model=str(random_llm), candidates=1, vote="never")
    first, second = write_batches(((n, asked) for n in range(2)), config)
    assert first.written == second.written and first.tokens == second.tokens > 0
    assert all(written.origin == "template" for written in first.written)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.long
def test_a_model_split_over_two_ranks_answers_and_survives_the_death_of_either(cluster, random_llm: Path):
    """Its captions are nonsense, so every row gets the template; the engine, its ranks and their end are real."""
    from actors.llm.pool import write_batches

    config = Caption(model=str(random_llm), tp=2, candidates=1, vote="never")
    asked = [CaptionRequest(instruction=f"remove the lamp {n}", task="removal") for n in range(4)]
    killed: list[int] = []
    rows = {}
    killer = threading.Thread(target=_kill_a_rank, args=(1, killed, "ray::Captioner.write"))
    for batch in write_batches(((n, asked) for n in range(4)), config, 4):
        assert batch.index not in rows, "a batch came twice"
        rows[batch.index] = batch.written
        if len(rows) == 1:  # nothing is asked at this moment
            _kill_a_rank(0, killed)
        if len(rows) == 2:
            killer.start()
    killer.join()
    assert len(killed) == 2 and sorted(rows) == list(range(4))
    assert all(written.origin == "template" for batch in rows.values() for written in batch)


def _kill_a_rank(number: int, killed: list[int], busy: str = "") -> None:
    """SIGKILLs that rank of the model, once a process called `busy` is there if one is named."""

    def ready() -> list[psutil.Process]:
        ranks = below("VLLM::Worker")
        return ranks if len(ranks) == 2 and (not busy or below(busy)) else []

    rank = until(ready, every_s=0.05)[number]
    rank.kill()
    killed.append(rank.pid)
