"""What must be there before what: the modules of main.bicep come in, each that starts too early goes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.infra.bicep import Json

AFTER = {
    "rbac": {"identity", "storage", "vault", "monitoring", "communication", "events"},
    "reports": {"rbac"},
    "function": {"rbac", "vnet"},
    "vnet": {"storage", "vault"},
    "alerts": {"monitoring", "storage", "events"},
    "availability": {"function", "alerts"},
    "workbook": {"monitoring"},
}
"""A host that starts without its roles stays down, and Event Grid tries the queue when the subscription is made."""


def too_early(modules: Mapping[str, Json]) -> Iterator[str]:
    """One sentence for each that does not wait, directly or through another."""
    for name, wanted in AFTER.items():
        yield from (f"{name} does not wait for {other}" for other in sorted(wanted - _before(name, modules)))


def _before(name: str, modules: Mapping[str, Json]) -> set[str]:
    direct = {other for other in modules[name].get("dependsOn", []) if other in modules}
    return direct.union(*(_before(other, modules) for other in direct))
