"""Proxies in all frameworks and HTTP clients that are captured. None of them knows of the conversation log."""
