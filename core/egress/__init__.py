"""Requests that DermQ sends to addresses which somebody else has named (RFC 9110), kept away from the inside of the network.

addresses.py  which addresses may be reached: resolved once, each of them checked
sending.py    one request to the address that was checked; redirects are answers like any other
"""
