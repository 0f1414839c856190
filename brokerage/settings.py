"""All settings, read from the environment; a value that cannot be right is refused, not guessed."""

import os
from decimal import Decimal
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from brokerage.environment import (
    checked_address,
    env_bool,
    env_choice,
    env_decimal,
    env_int,
    env_list,
    env_networks,
    env_optional,
    env_text,
    env_together,
    env_zone,
    kept_secret,
)
from brokerage.postgres import SUPERUSER, Server

ROOT = Path(__file__).resolve().parent.parent

# Where the program keeps what is not in the database: the embedded server, secrets, logs.
VAR = Path(env_text("BROKERAGE_VAR", str(ROOT / "var"))).absolute()

# --- Database -------------------------------------------------------------------------------------

# Who Django connects as. `runtime` is web, jobs and every command; `migrator` changes the schema
# as its owner; `auditor` may read all but secrets and change nothing.
DB_ROLE = env_choice("BROKERAGE_DB_ROLE", "runtime", among=("runtime", "migrator", "auditor"))

DATABASE_USERS = {
    "runtime": "bo_runtime",
    "migrator": "bo_migrator",
    "auditor": "bo_auditor",
    "broker": "bo_broker",
}
DATABASE_NAME = "brokerage"


def database_addresses(server: Server | None) -> dict[str, str]:
    """Connection string per role; `admin` only where we may act as superuser.

    With DATABASE_URL every role signs in where it points, with its password, unless an address of
    the role's own says otherwise.
    """
    if server is not None:
        addresses = {
            role: server.conninfo(user=user, dbname=DATABASE_NAME)
            for role, user in DATABASE_USERS.items()
        }
        return addresses | {"admin": server.conninfo(user=SUPERUSER, dbname=DATABASE_NAME)}
    runtime = env_text("DATABASE_URL", "")
    addresses = {role: make_conninfo(runtime, user=user) for role, user in DATABASE_USERS.items()}
    given = {
        "runtime": runtime,
        "migrator": env_optional("DATABASE_OWNER_URL"),
        "auditor": env_optional("DATABASE_AUDITOR_URL"),
        "broker": env_optional("DATABASE_BROKER_URL"),
        "admin": env_optional("DATABASE_ADMIN_URL"),
    }
    return addresses | {
        role: make_conninfo(address) for role, address in given.items() if address is not None
    }


def django_database(address: str, *, role: str) -> dict[str, object]:
    """A connection string in the shape Django wants."""
    parts = conninfo_to_dict(address)
    options = {
        name: value
        for name, value in parts.items()
        if name not in ("dbname", "user", "password", "host", "port")
    }
    if role == "migrator":
        # Whatever a migration makes belongs to the owner role, who cannot sign in.
        options["options"] = f"{options.get('options', '')} -c role=bo_owner".strip()
    options.setdefault("application_name", f"brokerage {role}")
    return {
        "ENGINE": "brokerage.database",
        "NAME": parts.get("dbname", DATABASE_NAME),
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": parts.get("port", ""),
        "OPTIONS": options,
    }


EMBEDDED_SERVER = Server(VAR) if env_optional("DATABASE_URL") is None else None
DATABASE_ADDRESSES = database_addresses(EMBEDDED_SERVER)
DATABASES = {"default": django_database(DATABASE_ADDRESSES[DB_ROLE], role=DB_ROLE)}

# The key that signs the head of sealed history, and the file outside the database to which every
# head is added. Keep copies of that file where nobody who can write the database can.
SEAL_KEY = Path(env_text("SEAL_KEY", str(VAR / "keys" / "seal_ed25519"))).absolute()
_of_this_database = DATABASES["default"]["NAME"]
_heads = "heads" if _of_this_database == DATABASE_NAME else f"heads-{_of_this_database}"
SEAL_HEADS = Path(env_text("SEAL_HEADS", str(VAR / "seals" / f"{_heads}.ndjson"))).absolute()
# Where every line of it goes besides, separated by semicolons: `folder:/mnt/worm`,
# `command:/usr/local/bin/keep-heads --tag desk`, `python:firm.seals.keep`.
SEAL_SINKS = [
    sink.strip() for sink in (env_optional("SEAL_SINKS") or "").split(";") if sink.strip()
]
# Up to so many sealed rows and entries, `manage.py verify` reads all of history every time.
VERIFY_ALL_UP_TO = int(env_text("VERIFY_ALL_UP_TO", "3000000"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Application ----------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "accounts",
    "ledger",
    "margin",
    "brokerage",
]

MIDDLEWARE = [
    # What is slow in the database is told by the name of the address.
    "brokerage.middleware.NamedWork",
    "django.middleware.security.SecurityMiddleware",
    "brokerage.middleware.Compressed",
    "brokerage.middleware.SecurityHeaders",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Ends what has run out; says who asks, in which roles and at which legal entity.
    "accounts.middleware.LiveSession",
    # Asks again who one is before money moves; keeps what was typed when a session had ended.
    "brokerage.step_up.StepUp",
    # Every page needs a sign-in unless its view says otherwise.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    # Any table of any page as a file, with what the page itself shows and nothing else.
    "accounts.table_files.TableFiles",
]

ROOT_URLCONF = "brokerage.urls"
ASGI_APPLICATION = "brokerage.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "brokerage.strip.strip",
            ]
        },
    }
]

STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
# Served from where they lie: no copying step between an edit and the page.
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
# The zone in which times are shown; rows, files and exports are in UTC.
DESK_TIME_ZONE = env_zone("DESK_TIME_ZONE", "America/New_York")

# --- Sign-in and the edge -------------------------------------------------------------------------

DEBUG = env_bool("DEBUG", False)
SECRET_KEY = env_optional("SECRET_KEY") or kept_secret(VAR / "secret_key")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", ())

AUTH_USER_MODEL = "accounts.Operator"
AUTHENTICATION_BACKENDS = ["accounts.operators.SessionBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
    )
]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in/"

# Behind a proxy that speaks https set HTTPS=True; plain http is for the loopback address.
HTTPS = env_bool("HTTPS", False)
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# A session ends after so many seconds whatever happens, and after so many without a request.
SESSION_COOKIE_AGE = env_int("SESSION_ABSOLUTE_SECONDS", 12 * 3600, least=300, most=12 * 3600)
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_IDLE_SECONDS = env_int("SESSION_IDLE_SECONDS", 900, least=60, most=12 * 3600)
# Wrong tries from one address within 15 minutes, whatever the names. Behind a proxy all people
# have the proxy's address.
SIGN_IN_ADDRESS_TRIES_MAX = env_int("SIGN_IN_ADDRESS_TRIES_MAX", 30, least=5, most=10_000)
# The secret under which second factors are sealed; outside the database, made at first use.
FACTOR_KEY = Path(env_text("FACTOR_KEY", str(VAR / "keys" / "second_factors"))).absolute()
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"

PORT = env_int("PORT", 8000, least=1, most=65_535)
# Passkeys are bound to this name; browsers give none to a bare address such as 127.0.0.1.
PASSKEY_HOST = env_text("PASSKEY_HOST", "localhost")
_at_host = f"https://{PASSKEY_HOST}" if HTTPS else f"http://{PASSKEY_HOST}:{PORT}"
PASSKEY_ORIGINS = env_list("PASSKEY_ORIGINS", (_at_host,))

# The firm's identity provider (OpenID Connect); off unless issuer, client and secret are all set.
OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET = env_together(
    "OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"
)
if OIDC_ISSUER is not None:
    checked_address("OIDC_ISSUER", OIDC_ISSUER)
OIDC_NAME = env_text("OIDC_NAME", "the firm's sign-in")
# Where it sends people back to; from here alone, never from the Host of a request.
OIDC_RETURN_ADDRESS = checked_address(
    "OIDC_RETURN_ADDRESS",
    env_text("OIDC_RETURN_ADDRESS", f"{PASSKEY_ORIGINS[0]}/sign-in/provider/return/"),
)
# Hosts besides the issuer's at which it may have its endpoints.
OIDC_HOSTS = [host.lower() for host in env_list("OIDC_HOSTS", ())]
# Words of its tokens that count as a second factor here; none do unless they are named.
OIDC_SECOND_FACTOR_AMR = env_list("OIDC_SECOND_FACTOR_AMR", ())
OIDC_SECOND_FACTOR_ACR = env_list("OIDC_SECOND_FACTOR_ACR", ())
OIDC_SECONDS_MAX = env_int("OIDC_SECONDS_MAX", 5, least=1, most=60)
WEB_WORKERS = env_int("WEB_WORKERS", 2, least=1, most=64)

MEGABYTE = 1024 * 1024
INBOX_FILE_SIZE_MAX = env_int(
    "INBOX_FILE_SIZE_MAX", 50 * MEGABYTE, least=1024, most=2048 * MEGABYTE
)
# Where day folders are dropped and run by themselves, in the order of their dates; off when unset.
INBOX_FOLDER = env_optional("INBOX_FOLDER")
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * MEGABYTE
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000
DATA_UPLOAD_MAX_NUMBER_FILES = 20
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * MEGABYTE

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 100,
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Brokerage back office",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
}

# --- Jobs -----------------------------------------------------------------------------------------

BROKER_URL = env_optional("BROKER_URL")
# What a unit of idle collateral costs in a year, as a share, where no credit rate is published.
IDLE_COLLATERAL_RATE = env_decimal(
    "IDLE_COLLATERAL_RATE", "0.05", least=Decimal(0), most=Decimal(1)
)
JOB_WORKERS = env_int("JOB_WORKERS", 2, least=1, most=64)
JOB_SECONDS_MAX = env_int("JOB_SECONDS_MAX", 1800, least=10, most=86_400)
# From so many scopes on a margin run is read, computed and kept in columns.
MARGIN_COLUMNS_FROM = env_int("MARGIN_COLUMNS_FROM", 20_000, least=0, most=1_000_000_000)
# Statements that take so long are kept for operators to see, without their values.
SLOW_STATEMENT_MS = env_int("SLOW_STATEMENT_MS", 500, least=1, most=3_600_000)
SLOW_STATEMENTS = VAR / "slow-statements.ndjson"
# How long a worker that gives no sign of life keeps its job.
JOB_LEASE_SECONDS = env_int("JOB_LEASE_SECONDS", 20, least=3, most=3600)

CELERY_BROKER_URL = BROKER_URL or "pgmq://localhost/"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
if BROKER_URL is None:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "conn_string": DATABASE_ADDRESSES["broker"],
        # The queue's tables are installed with the roles, not by whoever connects first.
        "init_extension": False,
        # A message comes back when its worker died; so it must stay away longer than any job runs.
        "visibility_timeout": JOB_SECONDS_MAX + 300,
        "wait_time_seconds": 1,
        "poll_interval_ms": 50,
        "polling_interval": 0.05,
    }
    # Reply queues have names longer than this transport can carry.
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = JOB_SECONDS_MAX + 60
CELERY_TASK_SOFT_TIME_LIMIT = JOB_SECONDS_MAX
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "beat-schedule")
CELERY_TIMEZONE = "UTC"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]

# --- Log ------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "brokerage.log_lines.OneLine", "style": "{",
                            "format": "{asctime} {levelname} {name}: {message}"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_choice(
        "LOG_LEVEL", "WARNING", among=("DEBUG", "INFO", "WARNING", "ERROR")
    )},
}  # fmt: skip

# --- Notices --------------------------------------------------------------------------------------

# The outbox: notices and files for others, until another channel is configured.
OUTBOX = VAR / "outbox"

# Nothing leaves this machine until it is configured: e-mail is written to files, and no host is
# allowed as a webhook.
SMTP_HOST = env_optional("SMTP_HOST")
EMAIL_BACKEND = "django.core.mail.backends." + (
    "filebased.EmailBackend" if SMTP_HOST is None else "smtp.EmailBackend"
)
EMAIL_FILE_PATH = str(OUTBOX / "e-mail")
EMAIL_HOST = SMTP_HOST or "localhost"
EMAIL_PORT = env_int("SMTP_PORT", 587, least=1, most=65_535)
EMAIL_HOST_USER = env_optional("SMTP_USER") or ""
EMAIL_HOST_PASSWORD = env_optional("SMTP_PASSWORD") or ""
EMAIL_USE_TLS = env_choice("SMTP_SECURITY", "starttls", among=("starttls", "tls", "none")) == (
    "starttls"
)
EMAIL_USE_SSL = os.environ.get("SMTP_SECURITY") == "tls"
EMAIL_TIMEOUT = env_int("SMTP_SECONDS_MAX", 10, least=1, most=60)
NOTICE_FROM = env_text("NOTICE_FROM", "margin-calls@localhost")
# A maildir, or a folder of .eml files, into which what is sent back to NOTICE_FROM is laid.
NOTICE_BOUNCES = env_optional("NOTICE_BOUNCES")
# Hosts, or host:port, to which webhooks may go; and networks that are not public but may be theirs.
WEBHOOK_HOSTS = [host.lower() for host in env_list("WEBHOOK_HOSTS", ())]
WEBHOOK_NETWORKS = env_networks("WEBHOOK_NETWORKS")
