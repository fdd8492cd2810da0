"""Documents against the JSON Schemas that the package ships."""

import jsonschema

from snnquant.schemas import document_schema


def closed(schema):
    """Return a schema that allows no property that it does not describe."""
    if isinstance(schema, list):
        return [closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    extra = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return {key: closed(value) for key, value in schema.items()} | extra


def problems(document, name):
    """Return what a document has that its schema does not allow, or lacks."""
    validator = jsonschema.Draft202012Validator(closed(document_schema(name)))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def check_schema(name):
    """Check that a schema is one and says what it is of; return it."""
    schema = document_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == schema["properties"]["schema"]["const"] == name
    return schema
