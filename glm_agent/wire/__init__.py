"""The wire, without I/O: bytes to events, requests to JSON, chunks to responses."""
