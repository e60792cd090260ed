"""Codex, both releases, in its three front ends: `codex exec`, `codex app-server`, and its screen in a terminal."""
