"""The pages, one module each: ``routes`` is what the application serves of it."""
