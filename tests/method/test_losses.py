"""Losses against loops written from the paper's equations, gradients included."""

import pytest
import torch

from v4e.config.times import Times, parse_times
from v4e.method.losses import block_kd_loss, flow_loss, in_tail, kd_tokens, tail_loss, tail_weight

torch.manual_seed(0)
STU, TEA = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 4, 5, dtype=torch.float64)  # K B N D
Z, GT = torch.randn(3, 2, 4, 5, dtype=torch.float64), torch.randn(3, 2, 4, 5, dtype=torch.float64)  # B C H W
T = torch.tensor([0.05, 0.5, 0.9], dtype=torch.float64)
ALL = parse_times("all")


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


def chosen(t, times, shift):
    """Whether the sampler, or the bound, has `t` in T_tail: by a walk along the sampler's steps."""
    if not times.of:
        return t <= times.bound
    now = 1.0
    for step in range(1, times.of + 1):
        even = 1 - step / times.of
        after = shift * even / (1 + (shift - 1) * even)
        if after < t <= now:
            return step in times.steps
        now = after
    return False


def tail_loops(z, gt, t, power, beta, times=ALL, shift=3.0):
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
        if not chosen(float(t[b]), times, shift):
            continue
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


@pytest.mark.parametrize(
    ("power", "beta", "times"),
    [
        *((power, beta, "all") for power in (0.0, 1.0, 3.0) for beta in (0.0, 0.1, 2.0)),
        *((3.0, 0.1, times) for times in ("0.5", "0.1", "8/8", "1,7/8", "2,3/3")),
    ],
)
def test_tail_equals_the_loops(power, beta, times):
    times = parse_times(times)

    def loss(z):
        return tail_loss(z, GT, tail_weight(T, power, times, 3.0), beta)

    assert float(loss(Z)) == pytest.approx(tail_loops(Z, GT, T, power, beta, times), rel=1e-12)
    z = Z.clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (z,))


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("text", ["0.25", "1", "1/1", "8/8", "1/8", "3,4,8/8", "2/50"])
def test_t_tail_is_what_the_sampler_passes_through_and_its_share_what_is_drawn(text, shift):
    times = parse_times(text)
    drawn = (torch.arange(2_000, dtype=torch.float64) + 0.5) / 2_000
    t = shift * drawn / (1 + (shift - 1) * drawn)
    inside = in_tail(t, times, shift)
    assert inside.tolist() == [chosen(one, times, shift) for one in t.tolist()]
    assert inside.double().mean().item() == pytest.approx(times.share(shift), abs=1e-3)


def test_all_steps_of_a_sampler_are_all_times():
    t = torch.rand(1000, dtype=torch.float64) + 1e-9
    assert in_tail(t.clamp(max=1), Times(steps=tuple(range(1, 9)), of=8), 3.0).all()


@pytest.mark.parametrize(
    "text", ["", "some", "0", "1.5", "nan", "-0.1", "9/8", "0/8", "2,1/8", "1,1/8", "/8", "1/", "1/2/3"]
)
def test_what_is_no_set_of_times_is_refused(text):
    with pytest.raises(ValueError, match=r"tail\.times=.*: expected all, a largest t"):
        parse_times(text)


def test_the_weight_is_eq_5():
    torch.testing.assert_close(tail_weight(T, 3, ALL, 3.0), torch.tensor([0.95**3, 0.5**3, 0.1**3]).double())
    assert (tail_weight(T, 0, ALL, 3.0) == 1).all()


def test_equal_states_cost_nothing():
    for reduction in ("relative", "mean", "sum"):
        assert block_kd_loss(TEA, TEA, reduction) == 0
    assert tail_loss(GT, GT, tail_weight(T, 3, ALL, 3.0), 0.1) == 0
    assert flow_loss(Z, Z) == 0
