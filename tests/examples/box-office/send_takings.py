"""Submits from Python, without HTTP."""

from box_office.jobs import takings

print(takings.send({"name": "hamlet"}, user="ada"))
