"""Who calls, and whether the call is allowed.

policy.py          which scope each route needs; which routes need no key
authentication.py  from a request to a caller: bearer keys, pages' sessions
authorization.py   the dependency of every route that asks for its scope
"""
