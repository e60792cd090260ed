"""What can go wrong around respfix, made to happen: bad networks, crowds, and long mixed traffic."""
