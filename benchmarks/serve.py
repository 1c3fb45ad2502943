"""One API process, as `greenroom up` runs it, without workers beside it."""

from api.server import serve
from api.settings import ApiSettings
from persistence.environment import load

if __name__ == "__main__":
    serve(load(ApiSettings))
