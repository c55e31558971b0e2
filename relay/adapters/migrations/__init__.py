"""Alembic's home: env.py runs the versions, one file a step, oldest first.

A new step: copy the newest file in versions/, give it the next number, and name its parent in
down_revision. tests/adapters/test_store_upgrade.py fails until the tables agree with
relay.adapters.store_tables. Steps never import it: they stay what they were.
"""
