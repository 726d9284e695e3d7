"""Who calls, and whether the call is allowed.

policy.py          which scope each route needs; which routes need no key
authentication.py  from a request to a caller: bearer keys, pages' sessions
oidc.py            tokens of an OpenID Connect provider in the place of keys
authorization.py   the dependency of every route that asks for its scope
"""
