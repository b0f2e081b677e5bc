"""Why a backup cannot be taken or restored."""


class BackupError(Exception):
    """It was not done, and nothing was changed; the message says why and what to do."""
