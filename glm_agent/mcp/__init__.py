"""MCP servers as tools. Importing this costs nothing: the MCP SDK is imported when a server is started."""
