"""Errors that a user can cause, as one line with a stable code that docs/errors.md explains."""

from v4e.faults.codes import CODES
from v4e.faults.fault import Fault

__all__ = ["CODES", "Fault"]
