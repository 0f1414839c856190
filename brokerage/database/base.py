"""The connection every query goes through."""

import os
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base

from brokerage import postgres
from brokerage.database import slow


class DatabaseWrapper(base.DatabaseWrapper):
    """Starts the embedded server on first use; refuses a server that may lose a commit."""

    _trusted_by: int | None = None

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        super().__init__(settings_dict, alias)
        self.execute_wrappers.append(slow.watch)

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        server: postgres.Server | None = settings.EMBEDDED_SERVER
        if server is not None and self.settings_dict["HOST"] == str(server.socket_directory):
            server.hold()
        connection: psycopg.Connection[Any] = super().get_new_connection(conn_params)
        # Once per process: the settings rarely change, and connections are many.
        if DatabaseWrapper._trusted_by != os.getpid():
            postgres.refuse_unsafe(connection)
            connection.rollback()  # the questions opened a transaction
            DatabaseWrapper._trusted_by = os.getpid()
        return connection
