"""The ICG's language model on vLLM in this process, on CPU or on GPUs."""

import hashlib

import torch

from actors.llm.engine import start
from v4e.captions.prompts import ANSWER, Prompt
from v4e.captions.small_llm import resolve_model
from v4e.config import Caption
from v4e.language.tasks import TASKS


def multiplies_bfloat16() -> bool:
    """True if this CPU has instructions for bfloat16; without them float32 writes captions 2.8 times as fast."""
    can = torch.cpu.get_capabilities()
    return any(can.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last one is Arm's


class VllmModel:
    """A :class:`v4e.captions.write.LanguageModel` on vLLM."""

    def __init__(self, config: Caption):
        self.config = config
        self.tokens = 0  # generated so far
        self.engine = start(
            resolve_model(config.model),
            gpus=config.gpus,
            ranks=config.tp or max(1, config.gpus),
            seqs_cpu=64,
            dtype="bfloat16" if config.gpus or multiplies_bfloat16() else "float32",
            max_model_len=2048,
            enable_prefix_caching=True,
            # vLLM caches whole blocks of a prefix, and the CPU's default block of 128 is a whole prompt
            block_size=None if config.gpus else 32,
        )
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        self.params = SamplingParams
        self.answer = StructuredOutputsParams(json=ANSWER, disable_any_whitespace=True)

    def ready(self) -> None:
        """Checks that the model can vote, if it has to.

        Raises:
            ValueError: the tokenizer begins two tasks with the same token.
        """
        if self.config.vote != "never":
            self._first_tokens(TASKS)

    def ask(self, prompts: list[Prompt], samples: int) -> list[list[str]]:
        """Returns `samples` answers to each prompt, the likeliest first; one is greedy, more are at the temperature."""
        texts = [prompt.text() for prompt in prompts]
        # seeded by the call itself, so that a batch run again gives the same texts; vLLM on CPU refuses seeds in the
        # request ("CPU Generator does not use offset")
        seed = int.from_bytes(hashlib.blake2b("\0".join(texts).encode(), digest_size=4).digest())
        torch.manual_seed(seed)
        params = self.params(
            n=samples,
            temperature=0.0 if samples == 1 else self.config.temperature,
            max_tokens=self.config.max_tokens,
            structured_outputs=self.answer,
            logprobs=0,
            seed=seed if self.config.gpus else None,
        )
        answers = [answer.outputs for answer in self.engine.generate(texts, params)]
        self.tokens += sum(len(text.token_ids) for found in answers for text in found)
        ranked = [sorted(found, key=lambda o: -(o.cumulative_logprob or 0.0) / len(o.token_ids)) for found in answers]
        return [[text.text for text in found] for found in ranked]

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        """Returns log P of each word's first token, by one decode step."""
        first = self._first_tokens(words)
        params = self.params(max_tokens=1, temperature=0.0, logprob_token_ids=first)
        steps = [found[0] for a in self.engine.generate(prompts, params) if (found := a.outputs[0].logprobs)]
        return [[step[token].logprob for token in first] for step in steps]

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Returns log P(text | context) of each (context, text), by the prompt's own log-probabilities."""
        tokenizer = self.engine.llm.get_tokenizer()
        contexts = {context: tokenizer.encode(context) for context in dict.fromkeys(c for c, _ in pairs)}
        texts = [tokenizer.encode(text, add_special_tokens=False) for _, text in pairs]
        prompts = [{"prompt_token_ids": contexts[c] + text} for (c, _), text in zip(pairs, texts, strict=True)]
        answers = self.engine.generate(prompts, self.params(max_tokens=1, temperature=0.0, prompt_logprobs=0))
        return [
            sum(step[token].logprob for step, token in zip(answer.prompt_logprobs[-len(text) :], text, strict=True))
            for answer, text in zip(answers, texts, strict=True)
        ]

    def _first_tokens(self, words: tuple[str, ...]) -> list[int]:
        tokenizer = self.engine.llm.get_tokenizer()
        first = [tokenizer.encode(f" {word}", add_special_tokens=False)[0] for word in words]
        if len(set(first)) < len(first):
            raise ValueError(
                f"caption.model={self.config.model}: two task labels begin with the same token, so it cannot vote: "
                "choose another model, or set caption.vote=never"
            )
        return first
