"""The connection to the server: TLS, session, faults in our words."""
