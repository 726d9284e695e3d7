"""The real stack under a stream of jobs, while one part after another is killed, frozen, emptied, cut off or restarted.

`make chaos KILLS=60 SEED=1 JOBS=4 DB=postgres`. What came of each job is checked from outside, by the API and by SQL.
"""
