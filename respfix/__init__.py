"""A sidecar that rewrites almost-right Responses streams into the stream OpenAI would have sent."""

__version__ = "0.1.0"
