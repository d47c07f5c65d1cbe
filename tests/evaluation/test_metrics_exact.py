"""Exact metrics against loops written from their definitions."""

import math

import numpy as np
import pytest

from v4e.evaluation.metrics.exact import Score, edit_mask, score, summarize


def brute_force(source, truth, edit, bound):
    inside, outside, start, l1 = [], [], [], []
    for y in range(source.shape[0]):
        for x in range(source.shape[1]):
            pixel = [[int(image[y, x, c]) for c in range(3)] for image in (source, truth, edit)]
            if any(abs(pixel[0][c] - pixel[1][c]) > 2 for c in range(3)):
                inside += [(pixel[2][c] - pixel[1][c]) ** 2 for c in range(3)]
                start += [(pixel[0][c] - pixel[1][c]) ** 2 for c in range(3)]
                l1 += [abs(pixel[2][c] - pixel[1][c]) / 255 for c in range(3)]
            else:
                outside += [(pixel[2][c] - pixel[0][c]) ** 2 for c in range(3)]
    psnr = 10 * math.log10(255**2 / (sum(outside) / len(outside))) if outside else None
    done = sum(inside) / len(inside) < 0.25 * sum(start) / len(start)
    return done and (psnr is None or psnr >= bound), sum(l1) / len(l1), psnr


@pytest.mark.parametrize("share", [0.0, 0.3, 0.45, 0.55, 1.0])
@pytest.mark.parametrize("noise", [1, 12, 60])
def test_score_equals_the_loops(share, noise):
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    truth = source.copy()
    truth[2:6, 1:5] = rng.integers(0, 256, (4, 4, 3))
    mixed = source + share * (truth.astype(float) - source)
    edit = (mixed + rng.normal(0, noise, source.shape)).clip(0, 255).astype(np.uint8)
    got = score("color", source, truth, edit, 20.0)
    success, l1, preserve = brute_force(source, truth, edit, 20.0)
    assert (got.success, got.edit_l1, got.preserve_psnr) == (success, pytest.approx(l1), pytest.approx(preserve))


def test_a_global_edit_has_nothing_to_preserve():
    source = np.zeros((4, 4, 3), np.uint8)
    truth = source + 200
    got = score("tone", source, truth, truth, 20.0)
    assert got.success
    assert got.preserve_psnr is None
    assert edit_mask(source, truth).all()


def test_copying_the_source_is_no_success_and_a_ruined_rest_neither():
    rng = np.random.default_rng(1)
    source = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    truth = source.copy()
    truth[:2] = 255 - truth[:2]
    assert not score("color", source, truth, source, 20.0).success
    ruined = truth.copy()
    ruined[4:] = 255 - ruined[4:]
    assert not score("color", source, truth, ruined, 20.0).success
    assert score("color", source, truth, truth, 20.0).success


def test_equal_images_are_refused():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="same image"):
        score("color", image, image, image, 20.0)


def test_means_leave_out_what_is_undefined():
    scores = [
        Score(task="tone", success=True, edit_l1=0.1, preserve_psnr=None),
        Score(task="color", success=False, edit_l1=0.3, preserve_psnr=30.0),
    ]
    table = summarize(scores)
    assert table["overall"] == {"success": 0.5, "edit_l1": 0.2, "preserve_psnr": 30.0, "n": 2}
    assert table["by_task"]["tone"]["preserve_psnr"] is None
    assert list(table["by_task"]) == ["color", "tone"]
