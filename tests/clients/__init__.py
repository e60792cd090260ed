"""Real clients, driven from outside: what a program built on them gets to see.

None of these modules imports respfix's engine: they are the second opinion. They speak to 127.0.0.1 only.
"""
