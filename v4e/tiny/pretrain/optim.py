"""The DiTs' optimizer: Muon on hidden matrices, AdamW on everything else.

At the same number of samples Muon is far ahead here (docs/results/pretraining.md). Its Newton-Schulz iteration costs
a fifth of a step. Every rank does it for its share of the matrices, and then all exchange the results.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from v4e.tiny.pretrain.loop import adam_moments, load_adam_moments


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """Weights between hidden states: the 2-d ones inside the blocks, without embeddings, heads and bias tables."""
    inside = ("blocks.", ".block.", ".layers.")
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad and p.ndim == 2]
    return [p for n, p in named if min(p.shape) >= 32 and any(part in n for part in inside)]


class MuonAdamW:
    """Steps `module`'s trainable parameters; gradients must already be the same on every rank."""

    def __init__(self, module: nn.Module, *, muon_lr: float, adamw_lr: float, weight_decay: float = 0.01):
        self.hidden = hidden_matrices(module)
        self.mine = [p for i, p in enumerate(self.hidden) if i % dist.get_world_size() == dist.get_rank()]
        ids = {id(p) for p in self.hidden}
        rest = [p for p in module.parameters() if p.requires_grad and id(p) not in ids]
        self.lrs = (muon_lr, adamw_lr)
        self.muon = torch.optim.Muon(self.mine, muon_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adamw = torch.optim.AdamW(rest, adamw_lr, betas=(0.9, 0.98), weight_decay=weight_decay)

    def step(self, factor: float) -> None:
        """One update at `factor` times the learning rates."""
        for optimizer, lr in zip((self.muon, self.adamw), self.lrs, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
            optimizer.step()
        self._exchange([p.data for p in self.hidden])

    def zero_grad(self) -> None:
        for p in [*self.hidden, *(p for g in self.adamw.param_groups for p in g["params"])]:
            if p.grad is not None:
                p.grad.zero_()

    def tensors(self) -> dict[str, Tensor]:
        """Momenta by name. A collective: each rank holds those of its own matrices only."""
        momenta = [torch.zeros_like(p) for p in self.hidden]
        for p, m in zip(self.hidden, momenta, strict=True):
            if "momentum_buffer" in self.muon.state.get(p, {}):
                m.copy_(self.muon.state[p]["momentum_buffer"])
        self._exchange(momenta)
        return {f"muon/{i}": m for i, m in enumerate(momenta)} | adam_moments(self.adamw)

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Loads the moments that :meth:`tensors` returned after `step` steps."""
        for i, p in enumerate(self.hidden):
            if f"muon/{i}" in tensors and any(p is q for q in self.mine):
                self.muon.state[p] = {"momentum_buffer": tensors[f"muon/{i}"]}
        load_adam_moments(self.adamw, tensors, step)

    def _exchange(self, tensors: list[Tensor]) -> None:
        """Every rank gets each matrix's tensor from the rank that owns it."""
        rank, ranks = dist.get_rank(), dist.get_world_size()
        if ranks == 1:
            return
        flat = torch.cat([(t if i % ranks == rank else torch.zeros_like(t)).flatten() for i, t in enumerate(tensors)])
        dist.all_reduce(flat)
        for t, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            t.copy_(part.view_as(t))
