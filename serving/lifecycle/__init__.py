"""The life of a model version: loaded, proved, labelled, taken back, unloaded.

configfile    models.config: which versions are loaded, which labels they bear; the record that a restart starts from
golden        a small batch with the probabilities that the version gave when it was published
verification  whether a served version is what it says: signatures, spec, golden batch
proving       a private server for a version that is not, or not yet, among those served
fleet         the model servers as one: configure all, wait for all
rollout       promote, rollback, retire: each step proved, each failure taken back, all of it in the ledger
"""
