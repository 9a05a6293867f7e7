"""A WSGI proxy (Flask, requests) that logs its conversations."""
