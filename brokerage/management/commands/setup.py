"""From nothing to an empty database that is ready to work."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg.conninfo import conninfo_to_dict

from brokerage import roles
from brokerage.postgres import refuse_unsafe
from brokerage.quick_migrations import quick_migrations
from brokerage.server_upgrade import bring_forward
from brokerage.server_user import ServerRefusedError

EVENT_TRIGGER = "guards_stay_on"
EVENT_TRIGGER_SQL = Path("ledger/sql/event_trigger.sql")


class Command(BaseCommand):
    help = "Prepare the database: roles, schema, guards. Running it again changes nothing."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--demo", action="store_true", help="load the demo firm into an empty database"
        )

    def handle(self, *args: object, **options: object) -> None:
        if settings.DB_ROLE != "migrator":
            raise CommandError("setup signs in as the migrator; unset BROKERAGE_DB_ROLE.")
        try:
            self.prepare_database()
        except ServerRefusedError as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        self.stdout.write("The database is ready.")
        if options["demo"] and not get_user_model().objects.exists():
            self.load_demo()

    def prepare_database(self) -> None:
        if settings.EMBEDDED_SERVER is not None:
            version = bring_forward(settings.EMBEDDED_SERVER)
            if version is not None:
                self.stdout.write(
                    f"The data was brought forward from PostgreSQL {version}; "
                    f"the old is kept in {settings.EMBEDDED_SERVER.root / f'postgres.{version}'}."
                )
            settings.EMBEDDED_SERVER.hold()
        admin = settings.DATABASE_ADDRESSES.get("admin")
        if admin is not None:
            roles.prepare(admin, passwords=given_passwords())
            self.lift_event_trigger(admin)
        with quick_migrations():
            call_command("migrate", interactive=False, verbosity=0)
        if admin is not None:
            self.lower_event_trigger(admin)

    def load_demo(self) -> None:
        """Load the demo firm as the role the product works with, not as the owner of the schema."""
        if "demo" not in get_commands():
            return
        self.stdout.write("Loading the demo firm.")
        self.stdout.flush()
        done = subprocess.run(
            [sys.executable, "manage.py", "demo"],
            cwd=settings.ROOT,
            env=os.environ | {"BROKERAGE_DB_ROLE": "runtime"},
            check=False,
        )
        if done.returncode != 0:
            raise CommandError("The demo firm was not loaded.", returncode=done.returncode)

    def lift_event_trigger(self, admin: str) -> None:
        """Migrations change guards on purpose, which the event trigger forbids."""
        with psycopg.connect(admin) as connection:
            refuse_unsafe(connection)
            connection.execute(f"DROP EVENT TRIGGER IF EXISTS {EVENT_TRIGGER}")

    def lower_event_trigger(self, admin: str) -> None:
        """From here on the guards of the book cannot be switched off or replaced."""
        with psycopg.connect(admin) as connection:
            roles.grant_framework_tables(connection)
            script = settings.ROOT / EVENT_TRIGGER_SQL
            if script.exists():
                connection.execute(script.read_bytes())


def given_passwords() -> dict[str, str]:
    """Passwords that stand in the configured addresses, by database role."""
    found = {}
    for role, user in roles.SIGN_IN_ROLES.items():
        password = conninfo_to_dict(settings.DATABASE_ADDRESSES[role]).get("password")
        if password:
            found[user] = str(password)
    return found
