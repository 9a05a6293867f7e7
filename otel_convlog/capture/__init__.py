"""Recording turns without changing the proxy's code."""
