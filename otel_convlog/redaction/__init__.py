"""Keeping secrets out of the log (docs/privacy.md).

Headers and URLs are masked before they reach a span (`headers`, `urls`), everything else where turns are written:
`texts` finds keys in text by the formats of `rules`, `streams` also those that several streamed pieces hold together,
and `turns` goes through whole turns.
"""
