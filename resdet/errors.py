"""The one exception for a user's mistakes: the commands print it as a single line and exit with code 2."""


class UserError(ValueError):
    """Bad input that the user can mend. The message names the file (or option) and the remedy, in one line."""
