"""Alembic runs this file for every command. Its caller owns connection and transaction."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
