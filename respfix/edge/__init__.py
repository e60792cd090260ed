"""Where respfix touches the outside: sockets, TLS, both of aiohttp's sides, and the init system."""


class StartError(Exception):
    """respfix cannot start, or cannot go on like this; the message is one line that says what to do."""
