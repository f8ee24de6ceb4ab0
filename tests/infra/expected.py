"""What the code needs: settings.py, function_app.py and the stores come in, plain values go out."""

from __future__ import annotations

import ast
import re
from typing import NamedTuple

from gateway.queues import CONTAINER
from gateway.settings import Settings
from gateway.stores import azure
from tests.infra.bicep import ROOT

OTHERWISE = {
    "ACS_CONNECTION_STRING": "the identity signs in, with ACS_ENDPOINT",
    "AZURE_CLIENT_SECRET": "the identity has none",
    "AZURE_CLIENT_CERTIFICATE_PATH": "the identity has none",
    "AzureWebJobsStorage": "the account has no keys",
}
"""What settings.py reads and the app must not be given, with the reason."""

HOST = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "AzureFunctionsJobHost__extensions__http__maxConcurrentRequests",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
}
"""What only the Functions host reads."""

REQUESTS_THAT_FIT = {512: 2, 2048: 8, 4096: 16}
"""By an instance's memory in MB, with the largest bodies: the table of docs/functions-host.md."""

BUDGETS = {512: "64", 2048: "256", 4096: "256"}
"""The same table's memory budget."""

MAIL = {"ACS_ENDPOINT", "MAIL_DOMAIN"}
"""Only where there is a mail service; MAIL_DOMAIN is for gateway.yaml, which writes `DoNotReply@${env:MAIL_DOMAIN}`."""

FORBIDDEN = re.compile(
    r"FUNCTIONS_(WORKER_RUNTIME(_VERSION)?|EXTENSION_VERSION)|WEBSITE_(RUN_FROM_PACKAGE|CONTENT.*|NODE_.*|VNET_.*|DNS_.*)"
    r"|(ENABLE_ORYX|SCM_DO)_BUILD.*|AzureWebJobs(Storage|Dashboard)"
)
"""Settings that Flex Consumption refuses
(https://learn.microsoft.com/azure/azure-functions/functions-app-settings), and keys."""


def settings() -> set[str]:
    """What an app with a mail service is given, and nothing beside it."""
    read = {field.metadata["name"] for field in Settings.__dataclass_fields__.values()}
    assert OTHERWISE.keys() <= read
    return (read - OTHERWISE.keys()) | HOST | MAIL


class Binding(NamedTuple):
    """A trigger's queue, and the connection it is bound by."""

    queue: str
    connection: str


def bindings() -> set[Binding]:
    """What function_app.py binds: `on_queue("name")`, which makes a trigger of the one connection in it."""
    tree = ast.parse((ROOT / "function_app.py").read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    triggers = [call for call in calls if getattr(call.func, "attr", "") == "queue_trigger"]
    (connection,) = {ast.literal_eval(call.args[2]) for call in triggers}
    queues = {ast.literal_eval(call.args[0]) for call in calls if getattr(call.func, "id", "") == "on_queue"}
    assert queues
    return {Binding(queue, connection) for queue in queues}


def groups() -> set[str]:
    """What an instance can always wait for: HTTP, or a function by its name (its queue's, with underscores)."""
    return {"http", "function:sweep", *(f"function:{binding.queue.replace('-', '_')}" for binding in bindings())}


TABLES = {azure.TABLE}
CONTAINERS = {azure.PAYLOADS, azure.CAPTURED}
INTAKE = CONTAINER
PACKAGE = "app-package"

ROLES = {
    "Communication and Email Service Owner": "09976791-48a7-449e-bb21-39d1a415f350",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Queue Data Message Sender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "Storage Queue Data Reader": "19e7f393-937e-4f77-808e-94535e297925",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "Storage Table Data Reader": "76199698-9eea-4c19-bc75-cec21354c6b6",
}
"""https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""

APP_GRANTS = {
    ("identity", "Storage Blob Data Owner", "storageAccounts"),
    ("identity", "Storage Queue Data Contributor", "storageAccounts"),
    ("identity", "Storage Table Data Contributor", "storageAccounts"),
    ("identity", "Key Vault Secrets User", "vaults"),
    ("identity", "Monitoring Metrics Publisher", "components"),
}
MAIL_GRANTS = {
    ("identity", "Communication and Email Service Owner", "communicationServices"),
    ("events", "Storage Queue Data Message Sender", "queues/delivery-reports"),
}
OPERATOR_GRANTS = {
    ("operator", "Key Vault Secrets Officer", "vaults"),
    ("operator", "Storage Blob Data Reader", "storageAccounts"),
    ("operator", "Storage Queue Data Reader", "storageAccounts"),
    ("operator", "Storage Table Data Reader", "storageAccounts"),
}
"""Who, may do what, on which resource; everything else is too much."""

NAMES = {
    "Microsoft.Resources/resourceGroups": r"[-\w().]{0,89}[-\w()]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[A-Za-z0-9][-\w]{2,127}",
    "Microsoft.OperationalInsights/workspaces": r"[A-Za-z0-9][-A-Za-z0-9]{2,61}[A-Za-z0-9]",
    "Microsoft.Insights/components": r"[-\w().]{0,254}[-\w()]",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.KeyVault/vaults": r"(?!.*--)[A-Za-z][-A-Za-z0-9]{1,22}[A-Za-z0-9]",
    "Microsoft.Communication/communicationServices": r"[-A-Za-z0-9]{1,63}",
    "Microsoft.Communication/emailServices": r"[-A-Za-z0-9]{1,63}",
    "Microsoft.EventGrid/systemTopics": r"[-A-Za-z0-9]{3,50}",
    "Microsoft.Network/virtualNetworks": r"[A-Za-z0-9][-\w.]{0,62}\w",
    "Microsoft.Web/serverfarms": r"[-A-Za-z0-9]{1,60}",
    "Microsoft.Web/sites": r"[A-Za-z0-9][-A-Za-z0-9]{0,58}[A-Za-z0-9]",
}
"""https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules"""
