"""Talking to models: the protocol, GLM over HTTP, and the wrappers around any model."""
