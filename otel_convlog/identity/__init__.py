"""Which conversation a turn belongs to, and by what evidence.

Each kind of evidence has its own module. `identifier` asks them from the strongest to the weakest: the id that a
request names, what its history shares with known turns, then the digest of its history (docs/identity.md).
"""
