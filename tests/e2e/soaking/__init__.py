"""Mixed traffic for a long time: what is sent, what came of it, what the server takes meanwhile."""
