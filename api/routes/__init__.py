"""HTTP routes, one file per resource. They translate and delegate; no query and no error map is here."""
