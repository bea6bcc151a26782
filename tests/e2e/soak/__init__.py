"""Mixed traffic for a long time: requests, results, and the resource use of the server."""
