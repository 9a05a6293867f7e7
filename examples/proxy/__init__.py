"""An asynchronous proxy (Starlette, httpx) that logs its conversations."""
