"""The HTTP server: endpoints, authentication, TLS, and limits for clients."""
