"""Reads the environment: a value that cannot be right is refused, not guessed."""

import ipaddress
import os
import secrets
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured


def env_text(name: str, default: str) -> str:
    """Read a text setting; refuse an empty one, which is nearly always a mistake."""
    value = os.environ.get(name, default)
    if not value.strip():
        raise ImproperlyConfigured(f"{name} is empty; unset it to use the default")
    return value


def env_optional(name: str) -> str | None:
    """Read a text setting that may be absent; refuse an empty one."""
    return env_text(name, "") if name in os.environ else None


def env_bool(name: str, default: bool) -> bool:
    """Read a boolean setting; refuse anything but 'True' or 'False'."""
    value = os.environ.get(name, str(default))
    if value not in ("True", "False"):
        raise ImproperlyConfigured(f"{name}={value!r}, expected 'True' or 'False'")
    return value == "True"


def env_int(name: str, default: int, *, least: int, most: int) -> int:
    """Read a whole number; refuse one outside its limits."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or not least <= int(value) <= most:
        raise ImproperlyConfigured(
            f"{name}={value!r}, expected a whole number from {least} to {most}"
        )
    return int(value)


def env_decimal(name: str, default: str, *, least: Decimal, most: Decimal) -> Decimal:
    """Read an exact number; refuse one outside its limits."""
    text = os.environ.get(name, default)
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not least <= value <= most:
        raise ImproperlyConfigured(f"{name}={text!r}, expected a number from {least} to {most}")
    return value


def env_choice(name: str, default: str, *, among: tuple[str, ...]) -> str:
    """Read one of a few words."""
    value = os.environ.get(name, default)
    if value not in among:
        raise ImproperlyConfigured(f"{name}={value!r}, expected one of {', '.join(among)}")
    return value


def env_list(name: str, default: tuple[str, ...]) -> list[str]:
    """Read words separated by commas."""
    value = env_optional(name)
    return list(default) if value is None else [word.strip() for word in value.split(",")]


def env_networks(name: str) -> list[str]:
    """Read networks such as 10.1.0.0/16, separated by commas."""
    found = env_list(name, ())
    try:
        return [str(ipaddress.ip_network(network)) for network in found]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def env_zone(name: str, default: str) -> str:
    """Read the name of a time zone that this machine knows."""
    value = os.environ.get(name, default)
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
        raise ImproperlyConfigured(f"{name}={value!r} is not a time zone") from error
    return value


def kept_secret(path: Path) -> str:
    """A random secret that is made once and readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # whoever comes first wins; nobody sees half a secret
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    try:
        return path.read_text().strip()
    except PermissionError:
        raise ImproperlyConfigured(
            f"{path} belongs to another user; set BROKERAGE_VAR to a directory of your own"
        ) from None


def env_together(*names: str) -> list[str | None]:
    """Read settings of which all or none are there."""
    found = [env_optional(name) for name in names]
    missing = [name for name, value in zip(names, found, strict=True) if value is None]
    if missing and len(missing) < len(names):
        raise ImproperlyConfigured(f"{', '.join(missing)} must be set with the others of its kind")
    return found


def checked_address(name: str, value: str) -> str:
    """An absolute address without anything hidden in it; plain http on this machine alone."""
    parts = urlsplit(value)
    is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    is_plain = parts.username is None and not parts.query and not parts.fragment
    fits = parts.scheme == "https" or (parts.scheme == "http" and is_here)
    if not (fits and is_plain and parts.hostname):
        raise ImproperlyConfigured(f"{name}={value!r}, expected https://host/path")
    return value
