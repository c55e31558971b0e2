"""Bring a database to this version's tables, however many processes start at once.

Everything happens in one transaction that begins with a lock: SQLite's own (BEGIN IMMEDIATE), or
an advisory lock of PostgreSQL. Who comes second waits, and finds nothing left to do. A failed
migration leaves nothing behind.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from relay.adapters.store_engine import make_engine, mapped, parse_url
from relay.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"

# A migration may rewrite a table; whoever waits for it waits as long.
LOCK_S = 60

# Any number will do, as long as nobody else locks it: "relay" on a telephone's keys.
LOCK_NUMBER = 73529


def upgrade(database_url: str) -> None:
    """Apply every migration that is missing. Blocks.

    Raises ConfigError for a malformed URL, StoreError for a database that cannot be reached or
    written, or whose tables are newer than this program.
    """
    url = parse_url(database_url)
    engine = make_engine(url, statement_s=LOCK_S, poolclass=NullPool)
    try:
        with mapped(url), engine.begin() as connection:
            if url.get_backend_name() == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_NUMBER)))
            _migrate(connection, url)
    finally:
        engine.dispose()


def lag(database_url: str) -> int | None:
    """How many migrations are missing; None: there are no tables yet. Blocks, changes nothing.

    Raises like `upgrade`.
    """
    url = parse_url(database_url)
    engine = make_engine(url, poolclass=NullPool)
    try:
        with mapped(url), engine.connect() as connection:
            context = MigrationContext.configure(connection.execution_options(read_only=True))
            current = context.get_current_revision()
    finally:
        engine.dispose()
    if current is None:
        return None
    return _known(alembic_config(), current, url).index(current)


def _migrate(connection: sa.Connection, url: sa.URL) -> None:
    config = alembic_config()
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None or current != _known(config, current, url)[0]:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")  # which reads every migration by itself
    # With nothing to upgrade nothing was written, and a read-only database has not said so yet.
    connection.execute(sa.text("UPDATE alembic_version SET version_num = version_num"))


def _known(config: Config, current: str, url: sa.URL) -> list[str]:
    """This program's migrations, the newest first. Raises StoreError if the current is none."""
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    if current not in steps:
        shown = url.render_as_string(hide_password=True)
        raise StoreError(f"DATABASE_URL {shown}: its tables ({current}) are newer than this relay")
    return steps


def alembic_config() -> Config:
    """Alembic's configuration without a file: the migrations lie inside the package."""
    config = Config()
    # Alembic reads % as the start of an interpolation.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
