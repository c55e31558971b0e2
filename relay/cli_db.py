"""`relay db`: looking after the database."""

from __future__ import annotations

import click

from relay import config
from relay.adapters.store import upgrade
from relay.plainly import told_plainly


@click.group("db")
def db_group() -> None:
    """Look after the database."""


@db_group.command("upgrade")
def upgrade_command() -> None:
    """Bring the tables of DATABASE_URL to this version."""
    with told_plainly():
        settings = config.load(kind=config.BusinessSettings)
        upgrade(settings.database_url.get_secret_value())
    click.echo("The database is up to date.")
