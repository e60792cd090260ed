"""`respfix check`: a linter for Responses streams.

    file, pipe or server -> bytes -> Mender with a witness -> findings -> page, report or format

It judges by the same table and the same engine as the repair, so what it finds is what would be repaired.
"""
