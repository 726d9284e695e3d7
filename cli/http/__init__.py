"""Talking to a server: requests, what is sent, what comes back, and errors for people."""
