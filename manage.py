#!/usr/bin/env python3
"""Command line of the back office."""

import os
import sys

# Commands that change the schema sign in as the role that owns it.
OWNER_COMMANDS = frozenset({"setup", "migrate", "sqlmigrate"})


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    if OWNER_COMMANDS.intersection(sys.argv[1:2]):
        os.environ.setdefault("BROKERAGE_DB_ROLE", "migrator")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit("The environment is not set up. Run `make setup` first.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
