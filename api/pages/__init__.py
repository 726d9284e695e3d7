"""The web pages: server-rendered, with a few plain ES modules; they ask the same functions as the API's routes.

rendering.py  Jinja2, the Content-Security-Policy, numbers and times for people
routing.py    the route class that shows a problem as a page
assets.py     style sheet, modules and Swagger UI's files
jobs.py       list of jobs, one job, its fragments
submit.py     the page that takes pictures; the answer of one picture
comparison.py two jobs over the same pictures
review.py     the grid, for which rows come in columns and thumbnails in batches
models.py     what is served
templates/    one file a page; a name that begins with _ is a fragment, which a page includes and a module fetches again
static/       one module a page, and what they share
"""
