"""Makes the tables of docs/reference from the code, so that they cannot differ from it: `make reference`.

pages        which section of which page comes from which function; a page keeps the text that people wrote around it
markdown     tables and inline code
settings     environment variables, from core.settings and .env.example
errors       error codes of items, jobs and requests, from core.errors and api.errors
commands     the command line, from Typer
httpapi      routes, from the OpenAPI document
columns      result columns, from the export's schema
metrics      metrics of api, workers and beat, from their declarations
"""
