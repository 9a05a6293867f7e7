"""An application with a stock instrumentation, whose conversations are logged by variables alone."""
