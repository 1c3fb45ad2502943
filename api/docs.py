"""The docs page: Swagger UI from an installed package, so that it works without internet, and the OpenAPI document."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import litestar_offline_docs
import msgspec
from litestar import Request, Router, get
from litestar._openapi.schema_generation import SchemaCreator
from litestar._openapi.schema_generation.plugins.struct import StructSchemaPlugin
from litestar.datastructures import CacheControlHeader
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, Schema, SecurityScheme
from litestar.static_files import create_static_files_router
from litestar.typing import FieldDefinition

_PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Greenroom API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/schema/static/swagger-ui.css">
<script src="/schema/static/swagger-ui-bundle.js" defer></script>
<script src="/schema/docs.js" defer></script>
</head>
<body><div id="docs"></div></body>
</html>
"""
_SCRIPT = b"""SwaggerUIBundle({
  url: "/schema/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


class DocsPage(OpenAPIRenderPlugin):
    """The page at `/schema`."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Give the page, which loads the document by itself."""
        del request, openapi_schema
        return _PAGE

    def receive_router(self, router: Router) -> None:
        """Add the page's script and style; what else is asked for gets our 404 and not Litestar's page."""
        router.routes = [route for route in router.routes if "{" not in route.path]
        router.register(_script)
        router.register(_static())


@get("/docs.js", media_type="text/javascript", sync_to_thread=False)
def _script() -> bytes:
    return _SCRIPT


def _static() -> Router:
    folder = Path(litestar_offline_docs.__file__).parent / "static"
    return create_static_files_router(
        "/static", [folder], include_in_schema=False, cache_control=CacheControlHeader(max_age=3600, public=True)
    )


class StrictStructs(StructSchemaPlugin):
    """Describes structs as they are: those that refuse unknown fields say so, and kept JSON is anything."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Take structs and raw JSON."""
        return field_definition.annotation is msgspec.Raw or super().is_plugin_supported_field(field_definition)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """Describe one of them."""
        if field_definition.annotation is msgspec.Raw:
            return Schema(description="any JSON")
        schema = super().to_openapi_schema(field_definition, schema_creator)
        config = getattr(field_definition.annotation, "__struct_config__", None)
        if config is not None and config.forbid_unknown_fields:
            schema.additional_properties = False
        return schema


def _version() -> str:
    try:
        return version("greenroom")
    except PackageNotFoundError:  # run from its sources without being installed
        return "unreleased"


def openapi() -> OpenAPIConfig:
    """Say what the document is about."""
    return OpenAPIConfig(
        title="Greenroom",
        version=_version(),
        description="A self-hosted, multi-tenant job service.",
        path="/schema",
        render_plugins=[DocsPage(path="/"), JsonRenderPlugin()],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={"key": SecurityScheme(type="http", scheme="bearer", description="An API key, or a JSON web token.")}
        ),
        security=[{"key": []}],
    )
