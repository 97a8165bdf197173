"""Functions and schemas: what the model is shown of a tool, and what comes back checked. Pure."""

from glm_agent.schema.arguments import ArgumentsError, parse_arguments, recover_call
from glm_agent.schema.function import function_schema
from glm_agent.schema.glm import glm_schema
from glm_agent.schema.validator import ArgumentsValidator, FunctionSchema

__all__ = [
    "ArgumentsError",
    "ArgumentsValidator",
    "FunctionSchema",
    "function_schema",
    "glm_schema",
    "parse_arguments",
    "recover_call",
]
