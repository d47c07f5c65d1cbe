"""T_tail of Eq. 6: the timesteps at which the tail is supervised, as a setting says them."""

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Timesteps t in [0, 1]: those up to a bound, or those that some of the sampler's steps pass through."""

    bound: float = 1.0
    steps: tuple[int, ...] = ()  # counted from 1, the first one starts at pure noise
    of: int = 0  # steps of the sampler; 0 = the bound counts

    def share(self, shift: float) -> float:
        """Returns the share of a run's draws of t, which are uniform before `shift` moves them."""
        return len(self.steps) / self.of if self.of else self.bound / (shift - (shift - 1) * self.bound)

    def words(self, shift: float) -> str:
        """Returns the words of a plan: ``at t <= 0.25 (10 % of the draws)``; nothing where all t are meant."""
        if self == Times():
            return ""
        one = "step" if len(self.steps) == 1 else "steps"
        where = f"in {one} {', '.join(map(str, self.steps))} of {self.of}" if self.of else f"at t <= {self.bound:g}"
        return f" {where} ({self.share(shift):.0%} of the draws)".replace("%", " %")


def parse_times(text: str, key: str = "tail.times") -> Times:
    """Reads ``all``, a bound such as ``0.25``, or ``7,8/8``: the last two of the sampler's 8 steps.

    Raises:
        ValueError: another form, or numbers that are no timesteps or no steps; names `key`.
    """
    steps, slash, of = text.replace(" ", "").partition("/")
    if text == "all":
        return Times()
    if slash and re.fullmatch(r"\d+(,\d+)*", steps) and re.fullmatch(r"\d+", of):
        chosen, count = tuple(map(int, steps.split(","))), int(of)
        if tuple(sorted(set(chosen))) == chosen and chosen[0] >= 1 and chosen[-1] <= count:
            return Times(steps=chosen, of=count)
    elif not slash:
        try:
            bound = float(text)
        except ValueError:
            bound = math.nan
        if 0 < bound <= 1:
            return Times(bound=bound)
    raise ValueError(
        f"{key}={text}: expected all, a largest t in (0, 1], or steps of the sampler in rising order: "
        f"set e.g. {key}=0.25, or {key}=7,8/8 for the last two of 8 steps"
    )
