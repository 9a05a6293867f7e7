"""Questions about a log, answered as plain values: what was said, what changed, what it cost, how fast it was.

Whoever shows the answers, a terminal or a page, asks here. `otel_convlog.store` is what reads and changes the files.
"""
