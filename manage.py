#!/usr/bin/env python3
"""Command line of the back office."""

import os
import sys

# Commands that change the schema sign in as the role that owns it.
OWNER_COMMANDS = frozenset({"setup", "migrate", "sqlmigrate"})


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    # One thread per process: the same sums in the same order, so the same bits, on any machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if OWNER_COMMANDS.intersection(sys.argv[1:2]):
        os.environ.setdefault("BROKERAGE_DB_ROLE", "migrator")
    try:
        from django.core.management import execute_from_command_line

        from brokerage.server_user import ServerRefusedError
    except ModuleNotFoundError:
        sys.exit("The environment is not set up. Run `make setup` first.")
    try:
        execute_from_command_line(sys.argv)
    except ServerRefusedError as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
