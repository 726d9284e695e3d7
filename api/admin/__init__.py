"""Administration over HTTP: tenants, keys, audit; the same as `dermq tenants`, `dermq keys` and `dermq audit`.

schemas.py  what is sent and answered
views.py    from rows of the ledger to what is answered
"""
