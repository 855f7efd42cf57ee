"""The one exception that is meant for the user."""


class UserError(Exception):
    """Something the user can put right.

    Its message is one line (or one line per key or channel) that names the key, file or count at fault
    and what is allowed. `augury.stage.run` prints it without a traceback.
    """
