"""The duties of the periodic sweep, one module each: rescue, republish, retention. See core.db.maintenance."""
