"""``python -m otel_convlog.cli``."""

from otel_convlog.cli import main

main()
