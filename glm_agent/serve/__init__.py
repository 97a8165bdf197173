"""Our tools for others: a registry, or a whole agent, as an MCP server. Nothing is imported before it is used."""
