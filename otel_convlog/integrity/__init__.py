"""Whether a log is whole, and making it so: every file against docs/format.md, and the catalog against the files."""

from __future__ import annotations

from otel_convlog.integrity.mending import Mended, repair_log
from otel_convlog.integrity.problem import KINDS, Problem
from otel_convlog.integrity.verification import verify_log

__all__ = ["KINDS", "Mended", "Problem", "repair_log", "verify_log"]
