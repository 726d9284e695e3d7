"""Single images, classified while the client waits, without the queue.

decoding.py   one image in a process of api.decoders
batching.py   images of several requests in one Predict
direct.py     from the bytes to a whole job in the ledger; whatever interrupts that leaves the image to the queue
request.py    a request: begins while the storage takes the upload, and waits for the end of the job, whichever way it goes
"""
