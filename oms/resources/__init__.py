"""The OMS over HTTP: Litestar handlers that ask the service and the store. They know no socket and no session."""
