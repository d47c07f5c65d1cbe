"""The driver's part of watching a run: what its files gain goes to the trackers, and what they tell of to the log."""

from collections.abc import Callable, Iterable

from v4e.config import Config
from v4e.files.journal import Record
from v4e.files.uri import open_uri
from v4e.watch.alarms import Alarm, Alarms
from v4e.watch.files import read_curves, strip_steps, strip_uri
from v4e.watch.trackers import Track


class Follower:
    """Sees each record of a run once, those of an earlier attempt as well: alarms look back, trackers do not."""

    def __init__(self, config: Config, done: int, tracks: list[Track], say: Callable[[str], None]) -> None:
        self.config, self.done, self.tracks, self.say = config, done, tracks, say
        self.alarms = Alarms(config.watch)
        self.seen, self.strip = 0, -1  # the last step and strip

    def see(self, records: Iterable[Record]) -> None:
        """The records that ``metrics.jsonl`` gained, and whatever strips there are beyond the last call's.

        Records of steps that are done again after a failure are passed over.
        """
        for record in records:
            step = int(record["step"])
            if step <= self.seen:
                continue
            self.seen = step
            self._tell(step, self.alarms.see(record))
            if step > self.done:
                self._track(step, {name: value for name, value in record.items() if name != "step"}, None)
        self._see_strips()

    def _see_strips(self) -> None:
        if not any(step > self.strip for step in strip_steps(self.config)):
            return
        for record in read_curves(self.config):
            step = int(record["step"])
            if step > self.strip:
                try:
                    with open_uri(strip_uri(self.config, step)) as file:
                        picture = file.read()
                except FileNotFoundError:  # dropped this moment by a run that goes on from before: it is made again
                    return
                self.strip = step
                self._tell(step, self.alarms.drift.see(record))
                if step > self.done or step == self.done == 0:
                    numbers = {f"samples/{name}": value for name, value in record.items() if name != "step"}
                    self._track(step, numbers, picture)

    def _track(self, step: int, numbers: dict[str, float], picture: bytes | None) -> None:
        for track in tuple(self.tracks):
            try:
                track(step, numbers, picture)
            except Exception as error:  # whatever a service or a full disk does, the run and its log go on
                self.tracks.remove(track)
                self.say(f"warning: step {step}: a tracker failed and is left out from here: {error}")

    def _tell(self, step: int, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            if step > self.done:
                self.say(f"warning: step {alarm.step}: {alarm.text}")
