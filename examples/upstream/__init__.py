"""A deterministic offline stand-in for a paid model API."""
