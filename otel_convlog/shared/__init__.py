"""A log that several machines write (docs/scale.md).

Each machine's exporter writes to a spool of its own, which is a log as any other. One process a spool delivers its
turns: each becomes an object of the store, and rows of the database, where its conversation is found among those of all
machines. Documents are made of the objects when a conversation has been quiet. Needs the extras ``cloud`` and
``postgres``.
"""
