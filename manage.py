#!/usr/bin/env python3
"""Command line of the back office."""

import gc
import os
import signal
import sys

# Commands that change the schema sign in as the role that owns it.
OWNER_COMMANDS = frozenset({"setup", "migrate", "sqlmigrate"})


def main() -> None:
    # An orderly exit also when asked from outside: it stops the database server we may hold.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "brokerage.settings")
    # One thread per process: the same sums in the same order, so the same bits, on any machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if OWNER_COMMANDS.intersection(sys.argv[1:2]):
        os.environ.setdefault("BROKERAGE_DB_ROLE", "migrator")
    gc.disable()  # what is loaded is no garbage, and looking for some takes a tenth of the start
    try:
        import django
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line

        from brokerage.server_user import ServerRefusedError
    except ModuleNotFoundError:
        sys.exit("The environment is not set up. Run `make setup` first.")
    try:
        django.setup()
        gc.freeze()
        gc.enable()
        execute_from_command_line(sys.argv)
    except (ServerRefusedError, ImproperlyConfigured) as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
