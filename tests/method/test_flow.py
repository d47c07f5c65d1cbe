"""Rectified flow and its inversions."""

from itertools import pairwise

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from v4e.method import flow


def test_both_inversions_recover_the_data_from_the_true_velocity():
    z, eps, t_B = torch.randn(3, 4, 2, 5, 5), torch.randn(3, 4, 2, 5, 5), torch.tensor([0.1, 0.5, 0.97])
    x_t, u = flow.add_noise(z, eps, t_B), flow.velocity(z, eps)
    torch.testing.assert_close(flow.invert_rectified(x_t, u, t_B), z, atol=1e-5, rtol=1e-5)
    # the rectified path is the general one with rho(t) = t
    torch.testing.assert_close(flow.invert_cfm(x_t, u, t_B, lambda t: t, torch.ones_like), z, atol=1e-5, rtol=1e-5)


def test_the_general_inversion_recovers_the_data_on_a_curved_path():
    """x_t = z + rho(t) (eps - z) has velocity rho'(t) (eps - z)."""
    z, eps, t_B = torch.randn(2, 1, 1, 3, 3), torch.randn(2, 1, 1, 3, 3), torch.tensor([0.3, 0.8])
    rho, rho_prime = lambda t: torch.sin(t), lambda t: torch.cos(t)
    x_t = z + flow.over(rho(t_B), z) * (eps - z)
    u = flow.over(rho_prime(t_B), z) * (eps - z)
    torch.testing.assert_close(flow.invert_cfm(x_t, u, t_B, rho, rho_prime), z, atol=1e-5, rtol=1e-5)


def test_gradients_of_the_inversions():
    """d x0_hat / d u = -t, and -rho / rho' on a curved path: what makes the tail loss weak at low noise."""
    u = torch.randn(2, 1, 1, 3, 3, requires_grad=True)
    x_t, t_B = torch.randn(2, 1, 1, 3, 3), torch.tensor([0.3, 0.8])
    (rectified,) = torch.autograd.grad(flow.invert_rectified(x_t, u, t_B).sum(), u)
    torch.testing.assert_close(rectified, flow.over(-t_B, u).expand_as(u))
    (general,) = torch.autograd.grad(flow.invert_cfm(x_t, u, t_B, torch.sin, torch.cos).sum(), u)
    torch.testing.assert_close(general, flow.over(-torch.tan(t_B), u).expand_as(u))


@pytest.mark.parametrize("shift", [1.0, 3.0, 5.0])
def test_times_are_diffusers_own(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    steps = 8
    scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).tolist())
    ours = flow.times(steps, shift)
    expected = flow.shift_time(torch.linspace(1, 1 / steps, steps, dtype=torch.float64), shift)
    torch.testing.assert_close(scheduler.sigmas[:-1].double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours[:-1], expected, atol=1e-6, rtol=0)
    assert ours[0] == 1
    assert ours[-1] == 0


def test_a_draw_is_a_pure_function_of_its_seed():
    seed = flow.sample_seed(0, "a", 3)
    t, eps = flow.draw(seed, (4, 2, 3, 3), 3.0)
    torch.rand(7)  # the global generator plays no part
    t_again, eps_again = flow.draw(seed, (4, 2, 3, 3), 3.0)
    assert t == t_again
    assert torch.equal(eps, eps_again)
    others = {flow.sample_seed(*args) for args in ((0, "a", 3), (1, "a", 3), (0, "b", 3), (0, "a", 4), (0, "a", 3, 1))}
    assert len(others) == 5


def test_drawn_times_follow_the_shift():
    times = torch.tensor([flow.draw(flow.sample_seed(0, str(i), 0), (1,), 3.0)[0] for i in range(4000)])
    assert 0 <= times.min() <= times.max() <= 1
    # P(t <= x) = u with x = 3u / (1 + 2u)
    assert abs((times <= 0.75).float().mean() - 0.5) < 0.03


def test_euler_with_the_true_velocity_ends_at_the_data():
    z, x = torch.randn(2, 3), torch.randn(2, 3)
    u = flow.velocity(z, x)
    times = flow.times(8, 3.0).tolist()
    for t, t_next in pairwise(times):
        x = flow.euler_step(x, u, t, t_next)
    torch.testing.assert_close(x, z, atol=1e-5, rtol=1e-5)


def test_a_line_goes_evenly_from_source_to_tail():
    source, tail = torch.randn(2, 16, 4, 4)
    z_clip_CFHW = flow.line_clip(source, tail, 5)
    assert torch.equal(z_clip_CFHW[:, 0], source) and torch.equal(z_clip_CFHW[:, -1], tail)
    steps = z_clip_CFHW.diff(dim=1)
    torch.testing.assert_close(steps, (0.25 * (tail - source))[:, None].expand_as(steps))
