"""The failures of training workers that are tried again: not those that would come again.

Ray Train has no public place for this. A test holds both of its private names, and the pin of Ray's version the rest.
"""

from typing import Any

from ray.exceptions import RayError
from ray.train import FailureConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision
from ray.train.v2.api.exceptions import TrainingFailedError

from v4e.faults import Fault
from v4e.faults.foreign import as_fault

CERTAIN = ("A03", "A04", "A05", "A09")  # codes of errors that no second attempt mends


class CertainFailures(DefaultFailurePolicy):
    """Ray Train's rule, which tries again up to ``max_failures`` times, but for errors that are certain to repeat.

    That is a user's fault, a full disk, and an error that came in the same words the time before. A process that died
    is always tried again.
    """

    last: tuple[str, ...] = ()  # what the workers' errors said

    def make_decision(self, training_failed_error: TrainingFailedError) -> FailureDecision:
        """Returns whether to try again after an error of the workers."""
        failures = getattr(training_failed_error, "worker_failures", None) or {}
        errors = [getattr(error, "_base_exc", error) for error in failures.values()]
        if errors and not any(isinstance(error, RayError) for error in errors):
            said = tuple(sorted(f"{type(error).__name__}: {error}" for error in errors))
            certain = any(isinstance(error, Fault) or as_fault(error).code in CERTAIN for error in errors)
            if certain or said == self.last:
                return FailureDecision.RAISE
            self.last = said
        return super().make_decision(training_failed_error)


class CertainTorchTrainer(TorchTrainer):
    """Ray Train's trainer with this rule, and without its own answer to Ctrl-C, which would save nothing."""

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        policy = CertainFailures(self.run_config.failure_config or FailureConfig())
        return super()._initialize_and_run_controller(**settings | {"failure_policy": policy})

    def _register_sigint_handler(self, controller: Any) -> None:
        pass
