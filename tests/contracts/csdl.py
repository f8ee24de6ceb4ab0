"""Microsoft's data model for Graph (CSDL, as JSON) comes in, a JSON Schema of one of its types or actions goes out.

Stricter than the service: no unknown field is allowed but the annotation that names an attachment's type. The CSDL
spells an action's parameters with a capital, the documents and the service without.
"""

from __future__ import annotations

from typing import Any

_PLAIN: dict[str, dict[str, Any]] = {
    "Edm.String": {"type": "string"},
    "Edm.Boolean": {"type": "boolean"},
    "Edm.Int32": {"type": "integer", "minimum": 0},
    "Edm.Int64": {"type": "integer", "minimum": 0},
    "Edm.Binary": {"type": "string", "pattern": "^[A-Za-z0-9+/]*={0,2}$"},
    "Edm.DateTimeOffset": {"type": "string"},
}

# What `attachments` takes is one of the types derived from `attachment`; we only send files.
_DERIVED = {"graph.attachment": "graph.fileAttachment"}


def schema_of(model: dict[str, Any], name: str) -> dict[str, Any]:
    """A type's schema, with everything it refers to."""
    return {"$ref": f"#/$defs/graph.{name}", "$defs": {f"graph.{one}": _type(model, one) for one in _types(model)}}


def schema_of_action(model: dict[str, Any], name: str, binding: str) -> dict[str, Any]:
    """The body of the action that belongs to the type `binding`."""
    (action,) = [one for one in model["actions"] if one["name"] == name and one["parameters"][0]["type"] == binding]
    parameters = action["parameters"][1:]
    spelled = {
        one["name"] if name == "createUploadSession" else one["name"][0].lower() + one["name"][1:]: one
        for one in parameters
    }
    return {
        "type": "object",
        "properties": {key: _value(one["type"]) for key, one in spelled.items()},
        "required": [key for key, one in spelled.items() if one["nullable"] == "false"],
        "additionalProperties": False,
        "$defs": {f"graph.{one}": _type(model, one) for one in _types(model)},
    }


def _types(model: dict[str, Any]) -> list[str]:
    return [name for name, one in model.items() if name != "actions" and "kind" in one]


def _type(model: dict[str, Any], name: str) -> dict[str, Any]:
    if model[name]["kind"] == "EnumType":
        return {"enum": model[name]["members"]}
    properties = {"@odata.type": {"const": f"#microsoft.graph.{name}"}}
    kind: str | None = name
    while kind:
        for key, one in {**model[kind]["properties"], **_navigation(model[kind])}.items():
            properties.setdefault(key, _value(one["type"]))
        kind = (model[kind]["base"] or "").removeprefix("graph.") or None
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _navigation(kind: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: {"type": one} for key, one in kind["navigation"].items()}


def _value(kind: str) -> dict[str, Any]:
    if kind.startswith("Collection("):
        return {"type": "array", "items": _value(kind.removeprefix("Collection(").removesuffix(")"))}
    return _PLAIN.get(kind) or {"$ref": f"#/$defs/{_DERIVED.get(kind, kind)}"}
