"""What the periodic sweep finds and mends in the ledger, one module for each duty.

`rescue`: what dead or hung processes held. `republish`: lost wake-up messages, and windows with room. `retention`: jobs past
their retention. `erasing`: rows of deleted jobs. Every function is safe to run in several sweeps at once: rows that another one
holds are skipped. Each walks by key or by due time, a page at a time, so that a page full of healthy rows cannot hide a stuck
one.
"""
