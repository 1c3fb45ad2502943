"""The schema: what of the API can be asked and done in GraphQL."""

from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from api.graphql.limits import DocumentLimits
from api.graphql.mutation import Mutation
from api.graphql.query import Query
from api.graphql.scalars import SCALARS


class _Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Leave the log to answers.py: here each refusal would be written with its traceback and the caller's document."""


SCHEMA = _Schema(Query, Mutation, config=StrawberryConfig(scalar_map=SCALARS), extensions=[DocumentLimits])
