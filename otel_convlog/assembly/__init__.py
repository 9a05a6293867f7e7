"""One call, one turn: what several spans say of the same call of a model is brought together here (docs/sources.md)."""
