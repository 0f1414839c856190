"""The whole book in one file, and the way back from it into an empty place."""

from brokerage.backup.archive import BackupRefusedError
from brokerage.backup.restoring import Restored, restore_backup
from brokerage.backup.taking import Backup, take_backup

__all__ = ["Backup", "BackupRefusedError", "Restored", "restore_backup", "take_backup"]
