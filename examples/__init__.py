"""Programs to run and to read: two instrumented proxies, a model API that costs nothing, a demonstration of both."""
