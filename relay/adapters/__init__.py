"""What the ports are in real life: one outside system a file (store_*.py are one, the database).

An adapter sees `relay.ports`, `relay.errors` and its driver, never the core, the shell or another
adapter. Foreign exceptions are mapped to ours here, once.
"""
