"""One run against a real vCenter that looks whether it behaves as the code believes.

``python -m tests.live`` runs it; see README.md. Nothing runs unless the
environment says so.
"""
