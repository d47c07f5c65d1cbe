"""Losses against loops written from the paper's equations, gradients included."""

import pytest
import torch

from v4e.method.losses import block_kd_loss, flow_loss, kd_tokens, tail_loss, tail_weight

torch.manual_seed(0)
STU, TEA = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)  # K B N D
Z, GT = torch.randn(3, 2, 4, 5, dtype=torch.float64), torch.randn(3, 2, 4, 5, dtype=torch.float64)  # B C H W
T = torch.tensor([0.05, 0.5, 0.9], dtype=torch.float64)


def kd_loops(stu, tea, reduction):
    taps, batch, tokens, width = stu.shape
    total = 0.0
    for k in range(taps):
        squared, state = 0.0, 0.0
        for b in range(batch):
            for n in range(tokens):
                for d in range(width):
                    squared += float(stu[k, b, n, d] - tea[k, b, n, d]) ** 2
                    state += float(tea[k, b, n, d]) ** 2
        total += {
            "sum": squared / batch,
            "mean": squared / (batch * tokens * width),
            "relative": squared / state,
        }[reduction]
    return total


def tail_loops(z, gt, t, power, beta):
    batch, channels, height, width = z.shape
    total = 0.0
    for b in range(batch):
        value = down = right = 0.0
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    value += abs(float(z[b, c, y, x] - gt[b, c, y, x]))
                    if y + 1 < height:
                        grad, grad_gt = z[b, c, y + 1, x] - z[b, c, y, x], gt[b, c, y + 1, x] - gt[b, c, y, x]
                        down += abs(float(grad - grad_gt))
                    if x + 1 < width:
                        grad, grad_gt = z[b, c, y, x + 1] - z[b, c, y, x], gt[b, c, y, x + 1] - gt[b, c, y, x]
                        right += abs(float(grad - grad_gt))
        value /= channels * height * width
        down /= channels * (height - 1) * width
        right /= channels * height * (width - 1)
        total += (1 - float(t[b])) ** power * (value + beta * (down + right))
    return total / batch


@pytest.mark.parametrize("reduction", ["relative", "mean", "sum"])
def test_kd_equals_the_loops(reduction):
    assert float(block_kd_loss(STU, TEA, reduction)) == pytest.approx(kd_loops(STU, TEA, reduction), rel=1e-12)
    stu = STU.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: block_kd_loss(s, TEA, reduction), (stu,))


@pytest.mark.parametrize("reduction", ["relative", "mean", "sum"])
@pytest.mark.parametrize(("frames", "last"), [(1, (0, 1, 2, 3)), (2, (2, 3)), (4, (3,))])
def test_kd_of_the_tail_equals_the_loops_over_its_tokens(reduction, frames, last):
    def loss(stu):
        return block_kd_loss(kd_tokens(stu, "tail", frames), kd_tokens(TEA, "tail", frames), reduction)

    expected = kd_loops(STU[:, :, list(last)], TEA[:, :, list(last)], reduction)
    assert float(loss(STU)) == pytest.approx(expected, rel=1e-12)
    stu = STU.clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (stu,))
    loss(stu).backward()
    assert stu.grad is not None
    moved = stu.grad.ne(0).any(-1).all((0, 1)).nonzero().flatten().tolist()
    assert moved == list(last), "the other tokens have no gradient"


def test_a_tail_of_a_broken_number_of_tokens_is_refused():
    assert kd_tokens(STU, "all", 3) is STU
    with pytest.raises(ValueError, match=r"teacher\.tokens=tail: 4 tokens .* 3 latent frames"):
        kd_tokens(STU, "tail", 3)


@pytest.mark.parametrize("power", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("beta", [0.0, 0.1, 2.0])
def test_tail_equals_the_loops(power, beta):
    assert float(tail_loss(Z, GT, T, power, beta)) == pytest.approx(tail_loops(Z, GT, T, power, beta), rel=1e-12)
    z = Z.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: tail_loss(s, GT, T, power, beta), (z,))


def test_the_weight_is_eq_5():
    torch.testing.assert_close(tail_weight(T, 3), torch.tensor([0.95**3, 0.5**3, 0.1**3], dtype=torch.float64))
    assert (tail_weight(T, 0) == 1).all()


def test_equal_states_cost_nothing():
    for reduction in ("relative", "mean", "sum"):
        assert block_kd_loss(TEA, TEA, reduction) == 0
    assert tail_loss(GT, GT, T, 3, 0.1) == 0
    assert flow_loss(Z, Z) == 0
