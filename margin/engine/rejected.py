"""Inputs that no model can take."""


class RejectedInputError(ValueError):
    """The inputs cannot be what they say; the message names which."""
