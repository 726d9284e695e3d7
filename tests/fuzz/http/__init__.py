"""schemathesis against a real server, from the committed OpenAPI document, with keys of two tenants and without one.

hooks.py     what schemathesis loads: ids of real jobs, and the check for foreign rows
caller.py    one run of schemathesis for one caller
__main__.py  `python -m tests.fuzz.http`: a longer run with its summary
"""
